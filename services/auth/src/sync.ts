import { PeerError, type Problem, questions, retryLater, traceIdOf } from '@gatehouse/kit';
import { sql } from 'kysely';
import { subjectOf } from './account.ts';
import type { AuthContext } from './context.ts';

/**
 * Token acts on what it knows of users and tenants, so every change of a role, a status or a password is committed
 * here first (version + 1) and told to token at once, before the administrator is answered. What token confirms is
 * written as synced_version; whatever is behind (a crash in between, token down) is told again every second.
 *
 * A version that token has seen never comes again with other contents, and token ignores older ones: so telling twice,
 * late or out of order does no harm.
 */

/** Who changed it and why, for the events of the sessions that end. */
export interface SyncCause {
  readonly reason: string;
  readonly actorId: string | null;
  readonly traceparent: string | null;
}

const swept: SyncCause = { reason: 'account_changed', actorId: null, traceparent: null };

const DEADLINE_MS = 1500;
const RETRY_AFTER_MS = [50, 250];
const SWEEP_MAX = 500;

/** Tells token of users. @throws PeerError */
async function putUsers(
  ctx: AuthContext,
  which: { readonly ids: readonly string[] } | 'unsynced',
  cause: SyncCause,
): Promise<number> {
  const rows = await ctx.db
    .selectFrom('user_account')
    .select(['id', 'tenant_id', 'role', 'status', 'version'])
    .whereRef('synced_version', '<', 'version')
    .$if(which !== 'unsynced', (query) => query.where('id', 'in', which === 'unsynced' ? [] : [...which.ids]))
    .orderBy('id')
    .limit(SWEEP_MAX)
    .execute();
  if (rows.length === 0) return 0;
  await ctx.peer.ask(
    questions.putSubjects,
    {
      subjects: rows.map(subjectOf),
      reason: cause.reason,
      actor_id: cause.actorId,
      traceparent: cause.traceparent,
    },
    { deadlineMs: DEADLINE_MS, ...(cause.traceparent && { traceparent: cause.traceparent }) },
  );
  // Exactly the versions that were told: a change that was committed meanwhile stays behind.
  const told = JSON.stringify(rows.map(({ id, version }) => ({ id, version })));
  await sql`
    update user_account u set synced_version = told.version
    from jsonb_to_recordset(${told}::jsonb) as told(id uuid, version bigint)
    where u.id = told.id and u.synced_version < told.version and u.version >= told.version`.execute(ctx.db);
  return rows.length;
}

/** Tells token of tenants. @throws PeerError */
async function putTenants(
  ctx: AuthContext,
  which: { readonly id: string } | 'unsynced',
  cause: SyncCause,
): Promise<void> {
  const rows = await ctx.db
    .selectFrom('tenant')
    .select(['id', 'status', 'version'])
    .whereRef('synced_version', '<', 'version')
    .$if(which !== 'unsynced', (query) => query.where('id', '=', which === 'unsynced' ? '' : which.id))
    .orderBy('id')
    .limit(SWEEP_MAX)
    .execute();
  for (const { id, status, version } of rows) {
    await ctx.peer.ask(
      questions.putTenant,
      {
        tenant_id: id,
        status,
        version,
        reason: cause.reason,
        actor_id: cause.actorId,
        traceparent: cause.traceparent,
      },
      { deadlineMs: DEADLINE_MS, ...(cause.traceparent && { traceparent: cause.traceparent }) },
    );
    await ctx.db
      .updateTable('tenant')
      .set({ synced_version: version })
      .where('id', '=', id)
      .where('synced_version', '<', version)
      .where('version', '>=', version)
      .execute();
  }
}

/** Ends what changes of password say must end, oldest first; all, or those of one user. @throws PeerError */
async function endSessions(ctx: AuthContext, userId?: string): Promise<void> {
  const rows = await ctx.db
    .selectFrom('session_end')
    .selectAll()
    .$if(userId !== undefined, (query) => query.where('user_id', '=', userId ?? ''))
    .orderBy('created_at')
    .limit(SWEEP_MAX)
    .execute();
  for (const row of rows) {
    await ctx.peer.ask(
      questions.revokeUserSessions,
      {
        user_id: row.user_id,
        except_session: row.except_session,
        reason: 'password_changed',
        actor_id: row.user_id,
        client_ip: row.client_ip,
        user_agent: row.user_agent,
        traceparent: row.traceparent,
      },
      { deadlineMs: DEADLINE_MS, ...(row.traceparent && { traceparent: row.traceparent }) },
    );
    // Only now: a crash before this asks once more, which ends nothing further but sessions of the meantime.
    await ctx.db.deleteFrom('session_end').where('id', '=', row.id).execute();
  }
}

/** A user changed: token knows it when this returns. @throws Problem `upstream_unavailable` when token stays silent. */
export function syncUser(ctx: AuthContext, id: string, cause: SyncCause): Promise<void> {
  return insist(ctx, cause, async () => {
    await putUsers(ctx, { ids: [id] }, cause);
  });
}

/**
 * A password changed: no other session of the user is alive when this returns. The user comes before the sessions:
 * from then on token opens no session for somebody who showed the old password, and what it opened before ends here.
 * @throws Problem `upstream_unavailable` when token stays silent.
 */
export function syncPassword(ctx: AuthContext, id: string, cause: SyncCause): Promise<void> {
  return insist(ctx, cause, async () => {
    await putUsers(ctx, { ids: [id] }, cause);
    await endSessions(ctx, id);
  });
}

/** A tenant changed: token knows it when this returns. @throws Problem `upstream_unavailable` when token stays silent. */
export function syncTenant(ctx: AuthContext, id: string, cause: SyncCause): Promise<void> {
  return insist(ctx, cause, () => putTenants(ctx, { id }, cause));
}

/** The job: everything that is behind. */
export async function sweepUnsynced(ctx: AuthContext): Promise<void> {
  await putTenants(ctx, 'unsynced', swept);
  while ((await putUsers(ctx, 'unsynced', swept)) === SWEEP_MAX);
  await endSessions(ctx);
}

/**
 * The change is committed, so "it failed" would be a lie; "done" would be one too while token still honours the old
 * state. So the answer is 503 that says both (`stored: true`): the sweep finishes it, and repeating the request is
 * safe: it changes nothing twice, and answers 200 as soon as token has confirmed.
 */
async function insist(ctx: AuthContext, cause: SyncCause, work: () => Promise<void>): Promise<void> {
  for (const waitMs of [...RETRY_AFTER_MS, undefined]) {
    try {
      return await work();
    } catch (err) {
      if (!(err instanceof PeerError)) throw err;
      ctx.log.warn({ err, trace_id: traceIdOf(cause.traceparent) }, 'token did not take a change');
      if (waitMs === undefined) throw storedButNotInForce();
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}

const storedButNotInForce = (): Problem =>
  retryLater('upstream_unavailable', 2, {
    detail:
      'The change is stored, but the token service cannot be reached: it comes into force there as soon as it can.',
    members: { stored: true },
  });
