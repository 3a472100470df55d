import type { Nkey } from '@gatehouse/nats-claims';
import type { NatsIdentityContext } from '../context.ts';
import { openSeed, type SealedRow } from '../secret.ts';

const ENTRIES_MAX = 256;
const KEPT_MS = 30_000;

/**
 * Opened signing keys for half a minute, at most so many: to open one takes longer than to sign with it. An entry is
 * good for exactly the sealed text that it came from, which the caller has just read from the database: a key that was
 * removed, moved or sealed anew is never signed with from here.
 */
export function createSignerCache(ctx: Pick<NatsIdentityContext, 'secrets' | 'metrics'>) {
  const entries = new Map<string, { readonly sealed: string; readonly key: Nkey; readonly until: number }>();

  return {
    open(row: SealedRow): Nkey {
      const now = performance.now();
      const held = entries.get(row.id);
      if (held !== undefined && held.sealed === row.sealed && held.until > now) return held.key;
      const key = openSeed(ctx, row);
      entries.delete(row.id);
      for (const [id, { until }] of entries) {
        if (until > now && entries.size < ENTRIES_MAX) break;
        entries.delete(id);
      }
      entries.set(row.id, { sealed: row.sealed, key, until: now + KEPT_MS });
      return key;
    },
  };
}

export type SignerCache = ReturnType<typeof createSignerCache>;
