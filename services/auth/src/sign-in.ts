import { appendAlone, type Call, PeerError, questions, type RateVerdict } from '@gatehouse/kit';
import type { AccountStatus, Role, TenantStatus } from '@gatehouse/schema';
import { sql } from 'kysely';
import type { Static } from 'typebox';
import { subjectOf } from './account.ts';
import { tellLimited } from './account-limit.ts';
import type { AuthContext } from './context.ts';
import type { HashBusy, VerifyOutcome } from './hash.ts';
import { actingOf, type Identity } from './identity.ts';
import {
  type Attempted,
  clearFailures,
  countFailure,
  type Locked,
  tellBlocked,
  tellFailure,
  tellIfLocked,
} from './lockout.ts';

/**
 * Signing in with a password, in an order that matters:
 *
 * 1. Locked? Then nothing else is looked at, not even the password.
 * 2. The password is checked, with the same work whether or not somebody has the address.
 * 3. A failure is counted and told in one transaction, then answered. A crash before the commit leaves a failure that
 *    was not answered either.
 * 4. A success clears the counter, unless the address has been locked meanwhile.
 * 5. Token opens the session, unless the account changed since step 2 was read.
 * 6. `auth.login.success` is written, then answered. So: every answered sign-in has its event, and no event tells of a
 *    session that never was. A crash after 4 leaves a cleared counter, which the right password had earned; a crash
 *    after 5 leaves a session (and its `session.created`) whose tokens nobody has.
 */

/** One attempt, canonical and well-formed. */
export interface SignInAttempt {
  readonly identity: Identity;
  readonly password: string;
  readonly call: Pick<Call, 'client' | 'trace'>;
}

type Tokens = Extract<Static<typeof questions.openSession.answer>, { outcome: 'opened' }>['tokens'];

/** What became of it. `refused` says no more, on purpose. */
export type SignInOutcome =
  | { readonly outcome: 'signed_in'; readonly tokens: Tokens }
  | { readonly outcome: 'refused' }
  | Locked
  | { readonly outcome: 'rate_limited'; readonly verdict: RateVerdict }
  | HashBusy
  | { readonly outcome: 'unavailable' };

/** What the database knows of the address, in one row. */
interface Known {
  readonly id: string | null;
  readonly role: Role;
  readonly status: AccountStatus;
  readonly version: number;
  readonly password_hash: string | null;
  readonly tenant_status: TenantStatus | null;
  readonly tenant_version: number;
  readonly locked_seconds: number | null;
}

/** A user who keeps changing while signing in is told to come back. */
const ROUNDS = 3;

export async function signIn(ctx: AuthContext, attempt: SignInAttempt): Promise<SignInOutcome> {
  let known = await lookUp(ctx, attempt.identity);
  if (known.locked_seconds !== null && known.locked_seconds > 0)
    return block(ctx, attempt, known, { outcome: 'locked', retryAfterSeconds: known.locked_seconds });
  const limited = await limit(ctx, attempt, known);
  if (limited !== undefined) return limited;

  let checked: { readonly phc: string | null; readonly verdict: VerifyOutcome } | undefined;
  for (let round = 0; round < ROUNDS; round += 1) {
    // Read again after a change: the password that was checked may not be the one that counts now.
    if (checked === undefined || checked.phc !== known.password_hash) {
      const phc = known.password_hash;
      const { password, call } = attempt;
      checked = {
        phc,
        verdict: await ctx.passwords.verify(phc ?? undefined, password, 'login', call.trace),
      };
    }
    if (checked.verdict.outcome === 'busy') return checked.verdict;
    const reason = refusalOf(known, checked.verdict.match);
    if (reason !== undefined || known.id === null)
      return fail(ctx, attempt, known, reason ?? 'unknown_address');

    const cleared = await clearFailures(ctx.db, attempt.identity);
    if (cleared.outcome === 'locked') return block(ctx, attempt, known, cleared);
    const opened = await open(ctx, attempt, { ...known, id: known.id });
    if (opened.outcome === 'inactive') return fail(ctx, attempt, known, 'inactive');
    if (opened.outcome === 'opened') {
      await tellSuccess(ctx, attempt, { userId: known.id, sessionId: opened.tokens.session_id });
      if (checked.verdict.outdated) rehash(ctx, attempt, { id: known.id, phc: checked.phc });
      return { outcome: 'signed_in', tokens: opened.tokens };
    }
    if (opened.outcome === 'unavailable') break;
    known = await lookUp(ctx, attempt.identity);
  }
  await tell(ctx, attempt, known, 'upstream_unavailable');
  return { outcome: 'unavailable' };
}

async function lookUp(ctx: AuthContext, { tenantId, email, digest }: Identity): Promise<Known> {
  // One row whatever there is, by the same plan: nobody can tell from the time which of the parts were found.
  const { rows } = await sql<Known>`
    select u.id, u.role, u.status, u.version, u.password_hash,
      t.status as tenant_status, coalesce(t.version, 0)::int8 as tenant_version,
      ceil(extract(epoch from l.locked_until - now()))::int as locked_seconds
    from (select ${tenantId}::uuid as tenant_id, ${email}::text as email, ${digest}::bytea as identity) k
    left join tenant t on t.id = k.tenant_id
    left join user_account u on u.tenant_id = k.tenant_id and u.email = k.email
    left join lockout l on l.tenant_id = k.tenant_id and l.identity = k.identity`.execute(ctx.db);
  const [row] = rows;
  if (row === undefined) throw new Error('a select without a where clause gave no row');
  return row;
}

/** Why the sign-in fails; undefined when it does not. A wrong password is said first: the rest would tell on it. */
function refusalOf(known: Known, match: boolean): string | undefined {
  if (known.tenant_status === null) return 'unknown_tenant';
  if (known.id === null) return 'unknown_address';
  if (!match) return 'wrong_password';
  if (known.tenant_status !== 'active') return 'tenant_disabled';
  return known.status === 'active' ? undefined : `account_${known.status}`;
}

const attempted = (attempt: SignInAttempt, known: Known): Attempted => ({
  identity: attempt.identity,
  call: attempt.call,
  userId: known.id,
  tenantKnown: known.tenant_status !== null,
});

async function block(
  ctx: AuthContext,
  attempt: SignInAttempt,
  known: Known,
  locked: Locked,
): Promise<SignInOutcome> {
  await ctx.db.transaction().execute((tx) => tellBlocked(tx, attempted(attempt, known), locked));
  ctx.relay.poke();
  return locked;
}

/** The same for an unknown address, a wrong password and an account that may not: they count and lock alike. */
async function fail(
  ctx: AuthContext,
  attempt: SignInAttempt,
  known: Known,
  reason: string,
): Promise<SignInOutcome> {
  const who = attempted(attempt, known);
  const verdict = await ctx.db.transaction().execute(async (tx) => {
    const counted = await countFailure(tx, ctx.config, attempt.identity);
    if (counted.outcome === 'locked') {
      await tellBlocked(tx, who, counted);
      return counted;
    }
    await tellFailure(tx, who, reason);
    await tellIfLocked(tx, who, counted);
    return counted;
  });
  ctx.relay.poke();
  if (verdict.outcome === 'locked') return verdict;
  if (verdict.lockedUntil !== null) ctx.metrics.lockoutEvents.inc({ action: 'locked' });
  return { outcome: 'refused' };
}

async function limit(
  ctx: AuthContext,
  attempt: SignInAttempt,
  known: Known,
): Promise<SignInOutcome | undefined> {
  const refusal = await ctx.accountLimit?.attempt(attempt.identity);
  if (refusal === undefined) return undefined;
  const { verdict, first } = refusal;
  const who = attempted(attempt, known);
  ctx.metrics.rateLimitHits.inc({ scope: 'login' });
  await ctx.db.transaction().execute(async (tx) => {
    await tellFailure(tx, who, 'rate_limited');
    if (first) await tellLimited(tx, who, verdict);
  });
  ctx.relay.poke();
  return { outcome: 'rate_limited', verdict };
}

async function tell(ctx: AuthContext, attempt: SignInAttempt, known: Known, reason: string): Promise<void> {
  await ctx.db.transaction().execute((tx) => tellFailure(tx, attempted(attempt, known), reason));
  ctx.relay.poke();
}

type Opened = Static<typeof questions.openSession.answer> | { readonly outcome: 'unavailable' };

async function open(
  ctx: AuthContext,
  { identity, call }: SignInAttempt,
  known: Known & { readonly id: string },
): Promise<Opened> {
  try {
    return await ctx.peer.ask(
      questions.openSession,
      {
        subject: subjectOf({ ...known, tenant_id: identity.tenantId }),
        tenant_version: known.tenant_version,
        scope: '',
        client_ip: call.client.ip,
        user_agent: call.client.userAgent,
        traceparent: call.trace.traceparent,
      },
      { traceparent: call.trace.traceparent },
    );
  } catch (err) {
    if (!(err instanceof PeerError)) throw err;
    ctx.log.warn({ err, trace_id: call.trace.traceId }, 'session cannot be opened');
    return { outcome: 'unavailable' };
  }
}

async function tellSuccess(
  ctx: AuthContext,
  { identity, call }: SignInAttempt,
  { userId, sessionId }: { userId: string; sessionId: string },
): Promise<void> {
  await appendAlone(ctx.db, {
    type: 'auth.login.success',
    tenant_id: identity.tenantId,
    aggregate: `user:${userId}`,
    traceparent: call.trace.traceparent,
    data: {
      ...actingOf(call, userId),
      email: identity.email,
      session_id: sessionId,
      strategy: 'password',
    },
  });
  ctx.relay.poke();
}

// The parameters have changed since this hash was made, and now the password is at hand. Only in a free place: the
// next sign-in will do as well. The old hash in the WHERE keeps a password that was changed meanwhile.
function rehash(
  ctx: AuthContext,
  { password }: SignInAttempt,
  { id, phc }: { id: string; phc: string | null },
): void {
  if (phc === null || !ctx.passwords.hasRoom()) return;
  ctx.background.run('rehash', async () => {
    const hashed = await ctx.passwords.hash(password, 'rehash');
    if (hashed.outcome === 'busy') return;
    await ctx.db
      .updateTable('user_account')
      .set({ password_hash: hashed.phc })
      .where('id', '=', id)
      .where('password_hash', '=', phc)
      .execute();
  });
}
