import { EVENT_LANE, Problem } from '@gatehouse/kit';
import Type from 'typebox';
import type { AccessGrant } from './access-token.ts';
import { route, type TokenContext } from './context.ts';
import { hashOf, isRefreshToken } from './refresh-token.ts';
import { judgeRefused, type Presented } from './refused-refresh.ts';
import { createSpend } from './spend.ts';

/** Trades a refresh token for a new pair (contract §4). */
export const rotate = route({
  method: 'POST',
  path: '/api/auth/refresh',
  access: 'public',
  summary: 'Trade a refresh token for a new pair',
  description:
    'Each refresh token works once. The same client may repeat the request for a few seconds and gets the same pair of the session; any other second use ends the session.',
  body: Type.Object({ refresh_token: Type.String({ maxLength: 512 }) }),
  answer: Type.Object({
    access_token: Type.String(),
    refresh_token: Type.String(),
    token_type: Type.Literal('Bearer'),
    expires_in: Type.Integer(),
    session_id: Type.String(),
  }),
  problems: [
    'invalid_refresh_token',
    'refresh_expired',
    'refresh_replayed',
    'session_revoked',
    'database_unavailable',
  ],
  run: (ctx) => {
    const spend = createSpend(ctx);
    const results = resultsOf(ctx);
    return async ({ body, client, trace }) => {
      const token = body.refresh_token;
      if (!isRefreshToken(token)) {
        results.invalid.inc();
        throw new Problem('invalid_refresh_token');
      }
      const successor = ctx.refreshTokens.successorOf(token);
      const presented: Presented = { hash: hashOf(token), client, trace };
      let grant = await spend(presented, successor);
      if (grant !== undefined) {
        ctx.relay.poke(EVENT_LANE);
        results.ok.inc();
        results.refreshes.inc();
        results.refreshTokens.inc();
      } else {
        grant = await secondThought(ctx, presented, () => spend(presented, successor));
      }
      const access_token = await ctx.accessTokens.sign(grant);
      results.accessTokens.inc();
      return {
        access_token,
        refresh_token: successor.token,
        token_type: 'Bearer' as const,
        expires_in: grant.expires_in,
        session_id: grant.session_id,
      };
    };
  },
});

/** Child counters, so that counting a refresh hashes no labels. */
function resultsOf({ metrics }: TokenContext) {
  return {
    ok: metrics.refresh.labels('ok'),
    invalid: metrics.refresh.labels('invalid'),
    refreshes: metrics.sessionRefreshes,
    accessTokens: metrics.tokenIssued.labels('access'),
    refreshTokens: metrics.tokenIssued.labels('refresh'),
  };
}

const codes = {
  unknown: 'invalid_refresh_token',
  expired: 'refresh_expired',
  revoked: 'session_revoked',
  replayed: 'refresh_replayed',
} as const;
const labels = { unknown: 'invalid', expired: 'expired', revoked: 'invalid', replayed: 'replay' } as const;

/** Why the token was not spent: an honest retry gets its grant, everything else is refused. */
async function secondThought(
  ctx: TokenContext,
  presented: Presented,
  again: () => Promise<AccessGrant | undefined>,
): Promise<AccessGrant> {
  let verdict = await judgeRefused(ctx, presented);
  if (verdict.outcome === 'spendable') {
    // Between the two statements the user or the tenant became active again; once more, then it is over.
    const grant = await again();
    if (grant !== undefined) {
      ctx.relay.poke(EVENT_LANE);
      ctx.metrics.refresh.inc({ result: 'ok' });
      ctx.metrics.sessionRefreshes.inc();
      return grant;
    }
    verdict = await judgeRefused(ctx, presented);
  }
  if (verdict.outcome === 'retried') {
    ctx.metrics.refresh.inc({ result: 'retried' });
    return verdict.grant;
  }
  const outcome = verdict.outcome === 'spendable' ? 'revoked' : verdict.outcome;
  ctx.metrics.refresh.inc({ result: labels[outcome] });
  throw new Problem(codes[outcome]);
}
