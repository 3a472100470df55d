import { availableParallelism } from 'node:os';
import {
  type Context,
  createLimiter,
  createRateLimitStore,
  type JobDefinition,
  type Limiter,
  routesOf,
} from '@gatehouse/kit';
import type { AuthDatabase } from '@gatehouse/schema';
import type { Transaction } from 'kysely';
import { type Background, createBackground } from './background.ts';
import { createHasher } from './hash.ts';
import { createHashBusyReport } from './hash-busy.ts';
import { createPasswords, type Passwords } from './passwords.ts';
import type { AuthConfig } from './settings.ts';

/** What the use cases of this service share beyond the kit's context. */
export interface AuthParts {
  readonly passwords: Passwords;
  /** Counts sign-ins by account; undefined when limits are off. */
  readonly accountLimiter: Limiter | undefined;
  readonly background: Background;
  closeParts(): Promise<void>;
}

export type AuthBase = Context<AuthConfig, AuthDatabase>;
export type AuthContext = AuthBase & AuthParts;
export type AuthTransaction = Transaction<AuthDatabase>;
export type AuthJob = JobDefinition<AuthContext>;

export const route = routesOf<AuthContext>();

/** Builds the parts; asks nobody. */
export async function openParts(ctx: AuthBase): Promise<AuthParts> {
  const { config, metrics, log } = ctx;
  const slots = config.MAX_CONCURRENT_HASHES ?? availableParallelism();
  const hasher = createHasher({
    memoryKib: config.ARGON2_MEMORY_KIB,
    iterations: config.ARGON2_ITERATIONS,
    parallelism: config.ARGON2_PARALLELISM,
    maxConcurrent: slots,
    pepper: config.PASSWORD_PEPPER,
    formerPeppers: config.PASSWORD_FORMER_PEPPERS,
  });
  const busy = createHashBusyReport(ctx);
  const background = createBackground(log);
  const limits = config.RATE_LIMIT_ENABLED ? openLimits(ctx) : undefined;
  return {
    passwords: createPasswords({ hasher, slots, metrics, log, onBusy: busy.count }),
    accountLimiter: limits?.limiter,
    background,
    async closeParts() {
      await background.settled();
      await hasher.close();
      await busy.close();
      await limits?.close();
    },
  };
}

function openLimits({ config, secrets, log }: AuthBase): { limiter: Limiter; close(): Promise<void> } {
  const store = createRateLimitStore({
    redisUrl: config.RATE_LIMIT_REDIS_URL,
    hashKey: secrets.key('rate-limit'),
    onEpisode: (kind, detail) => log.warn({ kind, ...detail }, 'rate limit store'),
  });
  const limiter = createLimiter({
    store,
    scope: 'login_account',
    max: config.RATE_LIMIT_LOGIN_ACCOUNT_MAX,
    windowSeconds: config.RATE_LIMIT_LOGIN_ACCOUNT_WINDOW_SECONDS,
  });
  return { limiter, close: () => store.close() };
}
