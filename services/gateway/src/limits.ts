import {
  addressKey,
  Problem,
  type RateVerdict,
  rateLimitHeaders,
  registerRateLimit,
  requestLimiter,
} from '@gatehouse/kit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { GatewayContext } from './context.ts';
import { edgePath } from './edge-path.ts';
import { type LimitScope, limitScopes, scopeOf } from './limit-scopes.ts';

/**
 * Counts every public request by address and scope, before anything that costs: the same hook in one process (before
 * the routes) and in front of other processes (before a connection is used).
 */
export async function useLimits(app: FastifyInstance, ctx: GatewayContext): Promise<void> {
  if (!ctx.config.RATE_LIMIT_ENABLED) return;
  await registerRateLimit(app, ctx.limitStore);
  const limiters = limitersOf(app, ctx);
  for (const scope of limitScopes) ctx.metrics.rateLimitHits.inc({ scope }, 0);
  app.addHook('onRequest', async (request, reply) => {
    // What edgePath cannot read is nobody's path, but asking for it costs all the same.
    const scope = scopeOf(request.method, edgePath(request.url) ?? '');
    if (scope === undefined) return;
    const verdict = await limiters[scope](request);
    const headers = rateLimitHeaders(verdict);
    if (verdict.allowed) {
      reply.headers(headers);
      return;
    }
    tell(ctx, scope, verdict, request);
    throw new Problem('rate_limited', { headers });
  });
}

type Judge = (request: FastifyRequest) => Promise<RateVerdict>;

function limitersOf(app: FastifyInstance, ctx: GatewayContext): Record<LimitScope, Judge> {
  const entries = limitScopes.map((scope) => {
    const { max, windowSeconds } = ruleOf(ctx.config, scope);
    const judge = requestLimiter(app, {
      scope,
      max,
      windowSeconds,
      subjectOf: ({ client }) => addressKey(client.ip ?? ''),
    });
    return [scope, judge] as const;
  });
  return Object.fromEntries(entries) as Record<LimitScope, Judge>;
}

/** The settings of one scope. */
export function ruleOf(
  config: GatewayContext['config'],
  scope: LimitScope,
): { max: number; windowSeconds: number } {
  const name = scope.toUpperCase() as Uppercase<LimitScope>;
  return {
    max: config[`RATE_LIMIT_${name}_MAX`],
    windowSeconds: config[`RATE_LIMIT_${name}_WINDOW_SECONDS`],
  };
}

function tell(ctx: GatewayContext, scope: LimitScope, verdict: RateVerdict, request: FastifyRequest): void {
  const { metrics, limitEvents } = ctx;
  metrics.rateLimitHits.inc({ scope });
  if (scope === 'login') metrics.login.inc({ result: 'rate_limited', strategy: 'password' });
  const { ip, userAgent } = request.client;
  limitEvents.refused({
    scope,
    limit: verdict.limit,
    windowSeconds: ruleOf(ctx.config, scope).windowSeconds,
    ip,
    userAgent,
    traceparent: request.trace.traceparent,
  });
}
