import Type from 'typebox';
import { route } from './context.ts';
import { causeOf } from './own-sessions.ts';
import { endSessions, settle, tellEach } from './revocation.ts';

/** Ends the session that the access token belongs to. */
export const logout = route({
  method: 'POST',
  path: '/api/auth/logout',
  access: 'user',
  summary: 'End this session',
  status: 204,
  answer: Type.Null(),
  problems: ['database_unavailable'],
  run: (ctx) => async (call) => {
    const { sessionId, userId } = call.principal;
    const cause = causeOf(call, 'logout');
    const ended = await ctx.db.transaction().execute(async (tx) => {
      const sessions = await endSessions(tx, ctx, { of: 'session', sessionId, userId }, cause);
      await tellEach(tx, sessions, cause);
      return sessions;
    });
    settle(ctx, ended);
    return null;
  },
});
