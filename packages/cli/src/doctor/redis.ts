import { createClient } from 'redis';
import { type Check, failed, hostOf, ok, skipped } from './check.ts';
import type { KnownSettings } from './settings.ts';

const NAME = 'redis';
const CONNECT_TIMEOUT_MS = 3_000;

/** The store that the instances share rate limits through. */
export async function examineRedis({ env }: KnownSettings): Promise<readonly Check[]> {
  const url = env.RATE_LIMIT_REDIS_URL?.trim();
  if (!url) return [skipped(NAME, 'RATE_LIMIT_REDIS_URL is not set: each process counts for itself')];
  if (!URL.canParse(url))
    return [failed(NAME, 'RATE_LIMIT_REDIS_URL is no URL', { remedy: 'redis://:password@host:6379' })];
  const client = createClient({
    url,
    socket: { connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: false },
    commandOptions: { timeout: CONNECT_TIMEOUT_MS },
  });
  client.on('error', () => {});
  const begun = performance.now();
  try {
    await client.connect();
    await client.ping();
    return [ok(NAME, `answers at ${hostOf(url)}, ${Math.round(performance.now() - begun)} ms`)];
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    const refused = /^(?:WRONGPASS|NOAUTH|NOPERM)/.exec(message ?? '')?.[0];
    return [
      failed(
        NAME,
        refused === undefined
          ? `nothing answers at ${hostOf(url)} (${code ?? 'no reason'}): each process counts for itself meanwhile`
          : `${hostOf(url)} refuses the login (${refused})`,
        {
          remedy:
            refused === undefined
              ? 'start Redis, or correct RATE_LIMIT_REDIS_URL'
              : 'correct user and password in RATE_LIMIT_REDIS_URL',
        },
      ),
    ];
  } finally {
    client.destroy();
  }
}
