import { append, appendMany, appendRevocation } from '@gatehouse/kit';
import type { TokenDatabase } from '@gatehouse/schema';
import { type ExpressionBuilder, type SqlBool, sql } from 'kysely';
import type { TokenContext, TokenTransaction } from './context.ts';

/** Whose sessions end. */
export type Scope =
  | { readonly of: 'session'; readonly sessionId: string; readonly userId: string }
  | { readonly of: 'user'; readonly userId: string }
  | { readonly of: 'tenant'; readonly tenantId: string }
  | { readonly of: 'everybody' };

/** Who ends sessions, why, and from where. */
export interface Cause {
  /** A word for the audit and `revoked_reason`: logout, replay, user_locked, …, or an administrator's sentence. */
  readonly reason: string;
  /** Null when the platform acts by itself. */
  readonly actorId: string | null;
  readonly clientIp: string | null;
  readonly userAgent: string | null;
  readonly traceparent: string | null;
}

/** A session that has just ended. */
export interface Ended {
  readonly id: string;
  readonly user_id: string;
  readonly tenant_id: string;
  /** Unix seconds: no access token of the session lives longer. */
  readonly until: number;
}

/** Sessions that one transaction ends at most; more take several, each complete in itself. */
export const SESSIONS_PER_TRANSACTION = 10_000;
const SIDS_PER_ENTRY = 500;

/** What an access token may live beyond the revocation at most: its lifetime, and a minute for clocks. */
export const untilOf = (ctx: Pick<TokenContext, 'config'>) =>
  sql<number>`floor(extract(epoch from now()))::int8 + ${ctx.config.ACCESS_TOKEN_TTL_SECONDS + 60}::int8`;

type Row = ExpressionBuilder<TokenDatabase, 'session'>;

/** Which live sessions a scope means. */
export const within = (scope: Scope, except: string | null) => (row: Row) =>
  row.and([
    row('revoked_at', 'is', null),
    row('expires_at', '>', sql<Date>`now()`),
    ...(scope.of === 'session' ? [row('id', '=', scope.sessionId)] : []),
    ...(scope.of === 'session' || scope.of === 'user' ? [row('user_id', '=', scope.userId)] : []),
    ...(scope.of === 'tenant' ? [row('tenant_id', '=', scope.tenantId)] : []),
    ...(except === null ? [] : [row('id', '<>', except)]),
    sql<SqlBool>`true`,
  ]);

/**
 * Ends live sessions and says so on the revocation feed, in the caller's transaction; events are the caller's.
 * Rows are locked in the order of their ids, so that two who end overlapping sets wait for each other and do not
 * deadlock.
 */
export async function endSessions(
  tx: TokenTransaction,
  ctx: TokenContext,
  scope: Scope,
  cause: Cause & { readonly except?: string | null },
): Promise<Ended[]> {
  const ended = await tx
    .with('doomed', (db) =>
      db
        .selectFrom('session')
        .select('id')
        .where(within(scope, cause.except ?? null))
        .orderBy('id')
        .limit(SESSIONS_PER_TRANSACTION)
        .forUpdate(),
    )
    .updateTable('session')
    .from('doomed')
    .set({ revoked_at: sql<Date>`now()`, revoked_reason: cause.reason })
    .whereRef('session.id', '=', 'doomed.id')
    .returning(['session.id', 'session.user_id', 'session.tenant_id', untilOf(ctx).as('until')])
    .execute();
  await announce(tx, ended, cause.traceparent);
  return ended;
}

/** Puts ended sessions on the revocation feed. */
export async function announce(
  tx: TokenTransaction,
  ended: readonly Pick<Ended, 'id' | 'until'>[],
  traceparent: string | null,
): Promise<void> {
  for (let at = 0; at < ended.length; at += SIDS_PER_ENTRY) {
    const chunk = ended.slice(at, at + SIDS_PER_ENTRY);
    const until = chunk[0]?.until;
    if (until !== undefined)
      await appendRevocation(tx, { sids: chunk.map(({ id }) => id), until }, traceparent);
  }
}

/**
 * After the commit, never before: the session counts as ended in this process at once, and elsewhere as soon as the
 * relay, which is woken here, has told the others.
 */
export function settle(ctx: TokenContext, ended: readonly Pick<Ended, 'id' | 'until'>[]): void {
  const until = ended[0]?.until;
  if (until !== undefined) ctx.feed.markLocally({ sids: ended.map(({ id }) => id), until });
  ctx.relay.poke();
}

/** One `session.revoked` for each session: for what concerns one person. */
export async function tellEach(tx: TokenTransaction, ended: readonly Ended[], cause: Cause): Promise<void> {
  await appendMany(
    tx,
    ended.map((session) => ({
      type: 'session.revoked' as const,
      tenant_id: session.tenant_id,
      aggregate: `session:${session.id}`,
      traceparent: cause.traceparent,
      data: {
        user_id: session.user_id,
        client_ip: cause.clientIp,
        user_agent: cause.userAgent,
        session_id: session.id,
        reason: cause.reason,
        revoked_by: cause.actorId,
      },
    })),
  );
}

/** One `admin.sessions.revoked` with the number: for a tenant or everybody, where an event a session would be a flood. */
export async function tellCount(
  tx: TokenTransaction,
  scope: Exclude<Scope, { of: 'session' }>,
  count: number,
  cause: Cause & { readonly tenantId: string | null },
): Promise<void> {
  await append(tx, {
    type: 'admin.sessions.revoked',
    tenant_id: cause.tenantId,
    aggregate:
      scope.of === 'user'
        ? `user:${scope.userId}`
        : scope.of === 'tenant'
          ? `tenant:${scope.tenantId}`
          : 'sessions',
    traceparent: cause.traceparent,
    data: {
      actor_id: cause.actorId,
      reason: cause.reason,
      client_ip: cause.clientIp,
      user_agent: cause.userAgent,
      scope: scope.of,
      user_id: scope.of === 'user' ? scope.userId : null,
      count,
    },
  });
}
