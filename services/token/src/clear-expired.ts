import { append, type Call, type Principal, Reason, reasonGiven } from '@gatehouse/kit';
import Type from 'typebox';
import { route, type TokenContext } from './context.ts';
import { causeOf } from './own-sessions.ts';
import { purgeBatch, ROWS_PER_BATCH } from './purge.ts';
import type { Cause } from './revocation.ts';

/** The caller must not wait for hours of arrears: what is left then is left to the job, or to the next request. */
const BUDGET_MS = 8_000;
/** Sessions of one transaction, and so of one event. */
const SESSIONS_PER_TRANSACTION = 10_000;

/** Removes now what the job removes every five minutes: refresh tokens and sessions a day after their end. */
export const clearExpired = route({
  method: 'POST',
  path: '/api/admin/sessions/clear-expired',
  access: 'platform.manage',
  summary: 'Remove sessions that have expired',
  description:
    'The same as the job does every five minutes. A session leaves a day after its absolute end, so nothing is ever less revoked than before. `complete` is false when there is more than could be removed within a few seconds.',
  body: Type.Object({ reason: Reason }),
  answer: Type.Object({ count: Type.Integer(), refresh_tokens: Type.Integer(), complete: Type.Boolean() }),
  problems: ['database_unavailable'],
  run: (ctx) => async (call: Call<{ reason?: string }, unknown, unknown, Principal>) => {
    const cause = causeOf(call, reasonGiven(call.body) || 'asked for');
    const until = performance.now() + BUDGET_MS;
    let refreshTokens = 0;
    let removed = ROWS_PER_BATCH;
    while (removed === ROWS_PER_BATCH && performance.now() < until) {
      removed = await purgeBatch(ctx.db, 'refresh_token');
      refreshTokens += removed;
    }
    const tokensComplete = removed < ROWS_PER_BATCH;
    const { count, complete } = await clearSessions(ctx, cause, until);
    return { count, refresh_tokens: refreshTokens, complete: complete && tokensComplete };
  },
});

async function clearSessions(ctx: TokenContext, cause: Cause, until: number) {
  let count = 0;
  for (;;) {
    // Each transaction tells what it did itself: a crash between two of them leaves nothing unsaid.
    const removed = await ctx.db.transaction().execute(async (tx) => {
      const rows = await purgeBatch(tx, 'session', SESSIONS_PER_TRANSACTION);
      if (rows > 0 || count === 0)
        await append(tx, {
          type: 'admin.sessions.cleared',
          tenant_id: null,
          aggregate: 'sessions',
          traceparent: cause.traceparent,
          data: {
            actor_id: cause.actorId,
            reason: cause.reason,
            client_ip: cause.clientIp,
            user_agent: cause.userAgent,
            count: rows,
          },
        });
      return rows;
    });
    ctx.relay.poke();
    count += removed;
    if (removed < SESSIONS_PER_TRANSACTION) return { count, complete: true };
    if (performance.now() > until) return { count, complete: false };
  }
}
