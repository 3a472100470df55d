import { PeerError, Problem, questions, Reason, reasonGiven, retryLater } from '@gatehouse/kit';
import Type from 'typebox';
import { lockParties } from './administration.ts';
import { route } from './context.ts';
import { UserParams } from './user-view.ts';

/**
 * Nothing of auth's changes, so there is nothing to finish later: token ends the sessions and writes the events
 * (`admin.sessions.revoked`, `session.revoked`) in its own transaction, or the answer is 503 and nothing happened.
 */
export const revokeSessions = route({
  method: 'POST',
  path: '/api/admin/users/:id/revoke-sessions',
  access: 'sessions.revoke',
  summary: 'End every session of a user',
  params: UserParams,
  body: Type.Object({ reason: Reason }, { additionalProperties: false }),
  answer: Type.Object({ count: Type.Integer({ description: 'Sessions that ended.' }) }),
  problems: ['reason_required', 'role_too_high', 'not_found', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const reason = reasonGiven(call.body);
    const id = call.params.id.toLowerCase();
    const outcome = await ctx.db
      .transaction()
      .execute((tx) => lockParties(tx, call.principal, { id, reason, needs: 'sessions.revoke' }));
    if (outcome.outcome === 'refused') throw new Problem(outcome.code);
    const { client, trace, principal } = call;
    try {
      return await ctx.peer.ask(
        questions.revokeUserSessions,
        {
          user_id: id,
          except_session: null,
          reason,
          actor_id: principal.userId,
          client_ip: client.ip,
          user_agent: client.userAgent,
          traceparent: trace.traceparent,
        },
        { traceparent: trace.traceparent },
      );
    } catch (err) {
      if (!(err instanceof PeerError)) throw err;
      ctx.log.warn({ err, trace_id: trace.traceId }, 'sessions cannot be revoked');
      throw retryLater('upstream_unavailable', 1);
    }
  },
});
