import { Problem, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from './context.ts';
import { causeOf } from './own-sessions.ts';
import { endSessions, settle, tellEach } from './revocation.ts';

/** Ends one of the caller's own sessions; another user's does not exist for them. */
export const endSession = route({
  method: 'DELETE',
  path: '/api/auth/sessions/:id',
  access: 'user',
  summary: 'End one of my sessions',
  params: Type.Object({ id: Uuid }),
  status: 204,
  answer: Type.Null(),
  problems: ['not_found', 'database_unavailable'],
  run: (ctx) => async (call) => {
    const scope = { of: 'session', sessionId: call.params.id, userId: call.principal.userId } as const;
    const cause = causeOf(call, 'ended_by_user');
    const ended = await ctx.db.transaction().execute(async (tx) => {
      const sessions = await endSessions(tx, ctx, scope, cause);
      await tellEach(tx, sessions, cause);
      return sessions;
    });
    if (ended.length === 0) throw new Problem('not_found');
    settle(ctx, ended);
    return null;
  },
});
