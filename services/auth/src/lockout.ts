import { append, type Call } from '@gatehouse/kit';
import type { AuthDatabase } from '@gatehouse/schema';
import { type Kysely, sql } from 'kysely';
import type { AuthContext, AuthTransaction } from './context.ts';
import { actingOf, type Identity } from './identity.ts';
import type { AuthConfig } from './settings.ts';

/**
 * Failed attempts by tenant and address, whether or not somebody has the address. Postgres is the one truth; each rule
 * is one statement whose RETURNING is the verdict, so that a parallel flood gets at most AUTH_LOGIN_MAX_ATTEMPTS
 * answers (lockout.test.ts). A row that is locked is touched by nothing but the end of its time or an administrator.
 */

/** Which counter. */
export type LockoutKey = Pick<Identity, 'tenantId' | 'digest'>;

/** What became of one failure: counted (and perhaps the one that locks), or too late to be answered. */
export type FailureVerdict =
  | { readonly outcome: 'counted'; readonly failures: number; readonly lockedUntil: Date | null }
  | Locked;

/** Nothing more is answered before that time. */
export interface Locked {
  readonly outcome: 'locked';
  readonly retryAfterSeconds: number;
}

type Limits = Pick<
  AuthConfig,
  'AUTH_LOGIN_MAX_ATTEMPTS' | 'AUTH_LOGIN_ATTEMPT_WINDOW_MINUTES' | 'AUTH_LOGIN_LOCKOUT_MINUTES'
>;

/** Counts one failure, unless the counter has become locked meanwhile. The MAXth locks it, and is still answered. */
export async function countFailure(
  tx: AuthTransaction,
  limits: Limits,
  { tenantId, digest }: LockoutKey,
): Promise<FailureVerdict> {
  const max = limits.AUTH_LOGIN_MAX_ATTEMPTS;
  const window = sql`make_interval(mins => ${limits.AUTH_LOGIN_ATTEMPT_WINDOW_MINUTES})`;
  const end = sql`now() + make_interval(mins => ${limits.AUTH_LOGIN_LOCKOUT_MINUTES})`;
  // A lockout that is over, or a window that has ended, begins anew with this failure.
  const anew = sql`(l.locked_until is not null or l.failures = 0 or l.window_started_at <= now() - ${window})`;
  const failures = sql`case when ${anew} then 1 else l.failures + 1 end`;
  const { rows } = await sql<{ failures: number; locked_until: Date | null }>`
    insert into lockout as l (tenant_id, identity, failures, window_started_at, locked_until)
    values (${tenantId}, ${digest}, 1, now(), case when ${max}::int <= 1 then ${end} end)
    on conflict (tenant_id, identity) do update set
      failures = ${failures},
      window_started_at = case when ${anew} then now() else l.window_started_at end,
      locked_until = case when ${failures} >= ${max}::int then ${end} end
    where l.locked_until is null or l.locked_until <= now()
    returning failures, locked_until`.execute(tx);
  const [row] = rows;
  if (row === undefined) return lockedFor(await lockedSeconds(tx, { tenantId, digest }));
  return { outcome: 'counted', failures: row.failures, lockedUntil: row.locked_until };
}

/**
 * Sets the counter to zero after a success, unless it has become locked meanwhile: then even the right password waits.
 * Where nothing was counted, as for nearly everybody, nothing is written.
 */
export async function clearFailures(
  db: Kysely<AuthDatabase>,
  key: LockoutKey,
): Promise<{ readonly outcome: 'cleared' } | Locked> {
  const mine = sql`tenant_id = ${key.tenantId} and identity = ${key.digest}`;
  const { rows } = await sql`
    with cleared as (
      update lockout set failures = 0, window_started_at = now(), locked_until = null
      where ${mine} and failures > 0 and (locked_until is null or locked_until <= now())
      returning identity
    )
    select from lockout where ${mine} and (failures > 0 or locked_until > now())
      and not exists (select from cleared)`.execute(db);
  if (rows.length === 0) return { outcome: 'cleared' };
  // Locked, or somebody else was at it in this moment.
  const seconds = await lockedSeconds(db, key);
  return seconds === null ? { outcome: 'cleared' } : lockedFor(seconds);
}

/** The refusal of whoever comes so long before the end of a lockout; without it, a moment before. */
export const lockedFor = (seconds: number | null): Locked => ({
  outcome: 'locked',
  retryAfterSeconds: Math.max(1, seconds ?? 1),
});

/** For how long it stays locked; null: it is not. */
export async function lockedSeconds(
  db: Kysely<AuthDatabase>,
  { tenantId, digest }: LockoutKey,
): Promise<number | null> {
  const { rows } = await sql<{ seconds: number }>`
    select ceil(extract(epoch from locked_until - now()))::int as seconds from lockout
    where tenant_id = ${tenantId} and identity = ${digest} and locked_until > now()`.execute(db);
  return rows[0]?.seconds ?? null;
}

/** Whose attempt it was, for the events. */
export interface Attempted {
  readonly identity: Identity;
  readonly call: Pick<Call, 'client' | 'trace'>;
  /** Of the account, when there is one. */
  readonly userId: string | null;
  /** False for a tenant that nobody made: its id must not become part of the audit's tenants. */
  readonly tenantKnown: boolean;
}

const addressed = ({ identity, call, userId, tenantKnown }: Attempted) => ({
  tenant_id: tenantKnown ? identity.tenantId : null,
  aggregate: userId === null ? 'sign-in' : `user:${userId}`,
  traceparent: call.trace.traceparent,
});

/** `auth.lockout` with `action: locked`, when this failure is the one that locks. */
export async function tellIfLocked(
  tx: AuthTransaction,
  attempted: Attempted,
  verdict: Extract<FailureVerdict, { outcome: 'counted' }>,
): Promise<void> {
  if (verdict.lockedUntil === null) return;
  await append(tx, {
    ...addressed(attempted),
    type: 'auth.lockout',
    data: {
      ...actingOf(attempted.call, attempted.userId),
      email: attempted.identity.email,
      action: 'locked',
      failures: verdict.failures,
      locked_until: verdict.lockedUntil.toISOString(),
    },
  });
}

/** `auth.login.blocked`: an attempt that was not even looked at. */
export async function tellBlocked(tx: AuthTransaction, attempted: Attempted, locked: Locked): Promise<void> {
  await append(tx, {
    ...addressed(attempted),
    type: 'auth.login.blocked',
    data: {
      ...actingOf(attempted.call, attempted.userId),
      email: attempted.identity.email,
      retry_after_seconds: locked.retryAfterSeconds,
    },
  });
}

/** `auth.login.failure`, with the reason that the caller is not told. */
export async function tellFailure(tx: AuthTransaction, attempted: Attempted, reason: string): Promise<void> {
  await append(tx, {
    ...addressed(attempted),
    type: 'auth.login.failure',
    data: {
      ...actingOf(attempted.call, attempted.userId),
      email: attempted.identity.email,
      reason,
      strategy: 'password',
    },
  });
}

/** Deletes counters that no longer mean anything, a batch at a time. */
export async function purgeLockouts(ctx: AuthContext): Promise<void> {
  const minutes = Math.max(
    ctx.config.AUTH_LOGIN_ATTEMPT_WINDOW_MINUTES,
    ctx.config.AUTH_LOGIN_LOCKOUT_MINUTES,
  );
  for (;;) {
    const { numAffectedRows = 0n } = await sql`
      delete from lockout where (tenant_id, identity) in (
        select tenant_id, identity from lockout
        where window_started_at < now() - make_interval(mins => ${minutes})
          and (locked_until is null or locked_until < now())
        order by window_started_at limit 1000 for update skip locked
      )`.execute(ctx.db);
    if (numAffectedRows < 1000n) return;
  }
}
