import { EVENT_LANE, newId, OUTBOX_INSERT, Problem } from '@gatehouse/kit';
import Type from 'typebox';
import { type AccessGrant, grantTimes } from './access-token.ts';
import { route, type TokenContext } from './context.ts';
import { hashOf, isRefreshToken, type RefreshToken } from './refresh-token.ts';
import { judgeRefused, type Presented } from './refused-refresh.ts';

/**
 * The whole rotation in one statement, whose WHERE is the verdict: of any number of racing requests one finds the token
 * unspent, the others wait for its row and then do not. The successor and the event are stored with it or not at all.
 *
 * The session is read, not locked: a revocation that commits at this moment leaves a successor in a session that is
 * over, which no later statement will take, and an access token that the revocation feed names.
 *
 * "Not revoked" is written as a coalesce to hide it from the planner: plans of named statements are kept, and one made
 * while the tables are small would go through the partial indexes of all live sessions, for ever.
 */
export const rotationSql = (accessTtlSeconds: number): string => `
  with spent as (
    update refresh_token as t
    set consumed_at = now(), consumed_ip = $3, consumed_agent = $4
    from session s, subject u, tenant_state n
    where t.hash = $1 and t.consumed_at is null and t.expires_at > now()
      and s.id = t.family_id and coalesce(s.revoked_at, 'infinity') = 'infinity' and s.expires_at > now()
      and u.user_id = s.user_id and u.status = 'active'
      and n.tenant_id = s.tenant_id and n.status = 'active'
    returning t.family_id, t.generation, s.user_id, s.tenant_id, s.scope, s.expires_at, u.roles
  ), successor as (
    insert into refresh_token (hash, family_id, generation, expires_at)
    select $2, family_id, generation + 1, least(now() + $5::int4 * interval '1 second', expires_at) from spent
  ), event as (
    ${OUTBOX_INSERT}
    select $6, ${EVENT_LANE}, 'session.refreshed', 'session.refreshed', tenant_id, 'session:' || family_id,
      jsonb_build_object('user_id', user_id, 'client_ip', $3::text, 'user_agent', $4::text,
        'session_id', family_id, 'generation', generation + 1), $7
    from spent
  )
  select user_id, tenant_id, family_id as session_id, to_json(roles)::text as roles, scope,
    ${grantTimes('expires_at', accessTtlSeconds)}
  from spent`;

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
    const spend = spender(ctx);
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

type Spend = (presented: Presented, successor: RefreshToken) => Promise<AccessGrant | undefined>;

function spender(ctx: TokenContext): Spend {
  const { pool, config } = ctx;
  const text = rotationSql(config.ACCESS_TOKEN_TTL_SECONDS);
  const idle = config.REFRESH_IDLE_TTL_SECONDS;
  return async ({ hash, client, trace }, successor) => {
    const values = [hash, successor.hash, client.ip, client.userAgent, idle, newId(), trace.traceparent];
    return (await pool.query<AccessGrant>({ name: 'rotate', text, values })).rows[0];
  };
}

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
