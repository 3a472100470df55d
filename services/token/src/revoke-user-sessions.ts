import { isUuid, questions } from '@gatehouse/kit';
import { answer } from './context.ts';
import { endSessions, SESSIONS_PER_TRANSACTION, settle, tellCount, tellEach } from './revocation.ts';

/** Ends a user's sessions, all or all but one (password changed, an administrator's command). */
export const revokeUserSessions = answer(questions.revokeUserSessions, (ctx) => async (body, traceparent) => {
  const { user_id, except_session: except } = body;
  if (!isUuid(user_id) || (except !== null && !isUuid(except))) return { count: 0 };
  const scope = { of: 'user', userId: user_id } as const;
  const cause = {
    reason: body.reason,
    actorId: body.actor_id,
    clientIp: body.client_ip,
    userAgent: body.user_agent,
    traceparent: body.traceparent ?? traceparent,
  };
  let count = 0;
  for (;;) {
    const ended = await ctx.db.transaction().execute(async (tx) => {
      const sessions = await endSessions(tx, ctx, scope, { ...cause, except });
      await tellEach(tx, sessions, cause);
      const byAnother = cause.actorId !== null && cause.actorId !== user_id;
      const tenantId = sessions[0]?.tenant_id ?? null;
      if (byAnother && tenantId !== null) await tellCount(tx, scope, sessions.length, { ...cause, tenantId });
      return sessions;
    });
    settle(ctx, ended);
    count += ended.length;
    if (ended.length < SESSIONS_PER_TRANSACTION) return { count };
  }
});
