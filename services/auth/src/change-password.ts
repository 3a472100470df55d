import { append, type Call, newId, type Principal, Problem, retryLater } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { type AuthContext, type AuthTransaction, route } from './context.ts';
import { actingOf, digestOf, PasswordInput } from './identity.ts';
import {
  type Attempted,
  clearFailures,
  countFailure,
  type FailureVerdict,
  type Locked,
  lockedFor,
  lockedSeconds,
  tellBlocked,
  tellIfLocked,
} from './lockout.ts';
import { passwordFaults, passwordText } from './password-policy.ts';
import { syncPassword } from './sync.ts';

const Body = Type.Object(
  { old_password: PasswordInput, new_password: PasswordInput },
  { additionalProperties: false },
);

export const changePassword = route({
  method: 'POST',
  path: '/api/auth/password',
  access: 'user',
  summary: 'Change the own password',
  description:
    'All other sessions of the user end. A wrong old password counts towards the lockout of the account.',
  body: Body,
  status: 204,
  answer: Type.Null(),
  problems: [
    'weak_password',
    'invalid_credentials',
    'conflict',
    'locked',
    'hash_busy',
    'upstream_unavailable',
  ],
  bodyBytesMax: 256 * 1024,
  run: (ctx) => async (call) => {
    const { body, principal, trace } = call;
    const account = await read(ctx, principal);
    if (account === undefined) throw new Problem('unauthenticated');
    const who: Attempted = {
      identity: { tenantId: principal.tenantId, email: account.email, digest: digestOf(account.email) },
      call,
      userId: principal.userId,
      tenantKnown: true,
    };
    const reasons = await passwordFaults(body.new_password, {
      email: account.email,
      name: account.name ?? undefined,
    });
    if (reasons.length > 0) throw new Problem('weak_password', { members: { reasons } });
    const locked = await blockedNow(ctx, who);
    if (locked !== undefined) throw retryLater('locked', locked.retryAfterSeconds);

    const hashes = await verifyAndHash(ctx, account.password_hash, {
      old: wellFormed(body.old_password),
      new: wellFormed(body.new_password),
      trace: call.trace,
    });
    if (hashes.outcome === 'busy') throw retryLater('hash_busy', hashes.retryAfterSeconds);
    if (hashes.outcome === 'wrong') throw answerOf(await refuse(ctx, who));
    const change = { principal, before: account.password_hash, after: hashes.phc };
    const outcome = await ctx.db.transaction().execute((tx) => store(tx, who, change));
    ctx.relay.poke();
    if (outcome.outcome === 'locked') throw retryLater('locked', outcome.retryAfterSeconds);
    if (outcome.outcome === 'conflict') throw new Problem('conflict');
    await syncPassword(ctx, principal.userId, {
      reason: 'password_changed',
      actorId: principal.userId,
      traceparent: trace.traceparent,
    });
    return null;
  },
});

function read(ctx: AuthContext, principal: Principal) {
  return ctx.db
    .selectFrom('user_account')
    .select(['email', 'name', 'password_hash'])
    .where('id', '=', principal.userId)
    .where('tenant_id', '=', principal.tenantId)
    .where('status', '=', 'active')
    .executeTakeFirst();
}

function wellFormed(input: string): string {
  const text = passwordText(input);
  if (text.outcome === 'refused') throw new Problem('invalid_request', { detail: text.reason.message });
  return text.password;
}

// Whoever stole an access token must not get to guess the password where sign-in would have stopped.
async function blockedNow(ctx: AuthContext, who: Attempted): Promise<Locked | undefined> {
  const locked = await ctx.db.transaction().execute(async (tx) => {
    const seconds = await lockedSeconds(tx, who.identity);
    if (seconds === null) return undefined;
    const verdict = lockedFor(seconds);
    await tellBlocked(tx, who, verdict);
    return verdict;
  });
  if (locked !== undefined) ctx.relay.poke();
  return locked;
}

async function verifyAndHash(
  ctx: AuthContext,
  phc: string,
  passwords: { old: string; new: string; trace: Call['trace'] },
) {
  const checked = await ctx.passwords.verify(phc, passwords.old, 'password_change', passwords.trace);
  if (checked.outcome === 'busy') return checked;
  if (!checked.match) return { outcome: 'wrong' as const };
  return ctx.passwords.hash(passwords.new, 'password_change');
}

async function refuse(ctx: AuthContext, who: Attempted): Promise<FailureVerdict> {
  const verdict = await ctx.db.transaction().execute(async (tx) => {
    const counted = await countFailure(tx, ctx.config, who.identity);
    if (counted.outcome === 'locked') {
      await tellBlocked(tx, who, counted);
      return counted;
    }
    await append(tx, {
      type: 'auth.password.change_refused',
      tenant_id: who.identity.tenantId,
      aggregate: `user:${who.userId}`,
      traceparent: who.call.trace.traceparent,
      data: { ...actingOf(who.call, who.userId), reason: 'wrong_password' },
    });
    await tellIfLocked(tx, who, counted);
    return counted;
  });
  ctx.relay.poke();
  if (verdict.outcome === 'counted' && verdict.lockedUntil !== null)
    ctx.metrics.lockoutEvents.inc({ action: 'locked' });
  return verdict;
}

const answerOf = (verdict: FailureVerdict): Problem =>
  verdict.outcome === 'locked'
    ? retryLater('locked', verdict.retryAfterSeconds)
    : new Problem('invalid_credentials', { detail: 'The old password is wrong.' });

interface Change {
  readonly principal: Principal;
  readonly before: string;
  readonly after: string;
}

/**
 * The new password, its event, the version that keeps token from opening sessions for the old one, and the order to
 * end the other sessions: all or nothing. The old hash in the WHERE: of two changes at once, one wins.
 */
async function store(
  tx: AuthTransaction,
  who: Attempted,
  { principal, before, after }: Change,
): Promise<{ readonly outcome: 'changed' | 'conflict' } | Locked> {
  const cleared = await clearFailures(tx, who.identity);
  if (cleared.outcome === 'locked') {
    await tellBlocked(tx, who, cleared);
    return cleared;
  }
  const { numUpdatedRows } = await tx
    .updateTable('user_account')
    .set({
      password_hash: after,
      password_changed_at: sql<Date>`now()`,
      updated_at: sql<Date>`now()`,
      version: sql<number>`version + 1`,
    })
    .where('id', '=', principal.userId)
    .where('status', '=', 'active')
    .where('password_hash', '=', before)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return { outcome: 'conflict' };
  const { ip: client_ip, userAgent: user_agent } = who.call.client;
  const { traceparent } = who.call.trace;
  await tx
    .insertInto('session_end')
    .values({
      id: newId(),
      user_id: principal.userId,
      except_session: principal.sessionId,
      client_ip,
      user_agent,
      traceparent,
    })
    .execute();
  await append(tx, {
    type: 'auth.password.changed',
    tenant_id: principal.tenantId,
    aggregate: `user:${principal.userId}`,
    traceparent,
    data: { ...actingOf(who.call, principal.userId), session_id: principal.sessionId },
  });
  return { outcome: 'changed' };
}
