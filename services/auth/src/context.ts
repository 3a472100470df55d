import { availableParallelism } from 'node:os';
import { answersOf, type Context, routesOf } from '@gatehouse/kit';
import type { AuthDatabase } from '@gatehouse/schema';
import type { Transaction } from 'kysely';
import { type AccountLimit, openAccountLimit } from './account-limit.ts';
import { type Background, createBackground } from './background.ts';
import { createHasher } from './hash.ts';
import { createHashBusyReport } from './hash-busy.ts';
import { createPasswords, type Passwords } from './passwords.ts';
import type { AuthConfig } from './settings.ts';

/** What the use cases of this service share beyond the kit's context. */
export interface AuthParts {
  readonly passwords: Passwords;
  /** Counts sign-ins by account; undefined when limits are off. */
  readonly accountLimit: AccountLimit | undefined;
  readonly background: Background;
  closeParts(): Promise<void>;
}

export type AuthBase = Context<AuthConfig, AuthDatabase>;
export type AuthContext = AuthBase & AuthParts;
export type AuthTransaction = Transaction<AuthDatabase>;

export const route = routesOf<AuthContext>();
export const answer = answersOf<AuthContext>();

const loginResults = ['success', 'failure', 'locked', 'rate_limited', 'hash_busy'] as const;

// The first of each must be an increase: a counter that appears as 1 has risen by nothing.
function countFromZero({ login, register, lockoutEvents }: AuthBase['metrics']): void {
  for (const result of loginResults) login.inc({ result, strategy: 'password' }, 0);
  for (const result of ['success', 'hash_busy'] as const) register.inc({ result }, 0);
  for (const action of ['locked', 'unlocked'] as const) lockoutEvents.inc({ action }, 0);
}

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
  countFromZero(metrics);
  const accountLimit = config.RATE_LIMIT_ENABLED ? openAccountLimit(ctx) : undefined;
  return {
    passwords: createPasswords({ hasher, slots, metrics, log, onBusy: busy.count }),
    accountLimit,
    background,
    async closeParts() {
      await background.settled();
      await hasher.close();
      await busy.close();
      await accountLimit?.close();
    },
  };
}
