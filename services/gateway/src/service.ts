import { createRateLimitStore, defineService, noteCertificate, Problem } from '@gatehouse/kit';
import type { FastifyInstance } from 'fastify';
import type { GatewayBase, GatewayOwn } from './context.ts';
import { useCors } from './cors.ts';
import { discardDeadLetter } from './discard-dead-letter.ts';
import { mountDocuments } from './documents.ts';
import { edgePath } from './edge-path.ts';
import { mountHealth, probeCache } from './health.ts';
import { createLimitEvents } from './limit-events.ts';
import { useLimits } from './limits.ts';
import { listDeadLetters } from './list-dead-letters.ts';
import { useProxy } from './proxy.ts';
import { replayDeadLetter } from './replay-dead-letter.ts';
import { resetRateLimit } from './reset-rate-limit.ts';
import { useSecurityHeaders } from './security-headers.ts';
import { gatewaySettings, originFaults } from './settings.ts';
import { showDeadLetter } from './show-dead-letter.ts';
import { showSettings } from './show-settings.ts';
import { writeLimitEvents } from './write-limit-events.ts';

/** How long the start waits for Redis: without it the limits begin in memory. */
const REDIS_WAIT_MS = 500;

/**
 * The edge: what every public request passes, and what is answered there. In one process it stands before the routes
 * of the other services; alone it passes requests on to them.
 */
export const gateway = defineService({
  name: 'gateway',
  settings: gatewaySettings,
  check: (config) => originFaults(config.CORS_ORIGINS),
  routes: [
    listDeadLetters,
    showDeadLetter,
    replayDeadLetter,
    discardDeadLetter,
    resetRateLimit,
    showSettings,
  ],
  open: async (ctx: GatewayBase): Promise<GatewayOwn> => {
    const limitEvents = createLimitEvents({
      log: ctx.log,
      write: (events) => writeLimitEvents(ctx, events),
    });
    return { limitEvents, limitStore: openLimitStore(ctx, limitEvents) };
  },
  edge: async (ctx, { app, local, phase }) => {
    // The order is the order of the hooks: a refusal by a limit still has what a browser needs to read it.
    useSecurityHeaders(app, ctx.config.NODE_ENV === 'production');
    await useCors(app, ctx.config.CORS_ORIGINS);
    await useLimits(app, ctx);
    refuseUnreadablePaths(app);
    mountHealth(app, ctx, phase);
    mountDocuments(app, ctx);
    await useProxy(app, ctx, local);
  },
  health: async (ctx) => [probeCache(ctx)],
  start: async (ctx) => ctx.limitStore.ready(REDIS_WAIT_MS),
  close: async (ctx) => {
    await ctx.limitEvents.close();
    await ctx.limitStore.close();
  },
});

function openLimitStore(ctx: GatewayBase, limitEvents: GatewayOwn['limitEvents']): GatewayOwn['limitStore'] {
  const { config, log, metrics, secrets } = ctx;
  const labels = { service: 'gateway', dep: 'redis' };
  const redisUrl = config.RATE_LIMIT_REDIS_URL;
  if (redisUrl !== undefined) metrics.dependencyUp.set(labels, 1);
  return createRateLimitStore({
    redisUrl,
    hashKey: secrets.key('rate-limit'),
    onCertificate: noteCertificate(metrics, { service: 'gateway', dep: 'redis' }),
    onEpisode: (state, { reason, seconds }) => {
      metrics.dependencyUp.set(labels, state === 'lost' ? 0 : 1);
      if (state === 'lost') log.warn({ reason }, 'rate limit store lost, counting in memory');
      else log.info({ reason, seconds: Math.round(seconds) }, 'rate limit store is back');
      limitEvents.storeChanged(state);
    },
  });
}

function refuseUnreadablePaths(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (edgePath(request.url) === undefined) done(new Problem('not_found'));
    else done();
  });
}
