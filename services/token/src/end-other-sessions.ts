import Type from 'typebox';
import { route } from './context.ts';
import { causeOf } from './own-sessions.ts';
import { endSessions, SESSIONS_PER_TRANSACTION, settle, tellEach } from './revocation.ts';

/** Ends all of the caller's sessions but this one. */
export const endOtherSessions = route({
  method: 'POST',
  path: '/api/auth/sessions/revoke-others',
  access: 'user',
  summary: 'End my other sessions',
  answer: Type.Object({ count: Type.Integer() }),
  problems: ['database_unavailable'],
  run: (ctx) => async (call) => {
    const { userId, sessionId } = call.principal;
    const cause = causeOf(call, 'ended_by_user');
    let count = 0;
    for (;;) {
      const ended = await ctx.db.transaction().execute(async (tx) => {
        const sessions = await endSessions(tx, ctx, { of: 'user', userId }, { ...cause, except: sessionId });
        await tellEach(tx, sessions, cause);
        return sessions;
      });
      settle(ctx, ended);
      count += ended.length;
      if (ended.length < SESSIONS_PER_TRANSACTION) return { count };
    }
  },
});
