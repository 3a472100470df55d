import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Pool } from 'pg';
import type { Bus } from './bus.ts';
import { probeBus, probeDatabase } from './health.ts';
import { sendProblem } from './http.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { createMetricsGuard } from './metrics-guard.ts';
import { OPENMETRICS_TYPE, openMetrics, wantsOpenMetrics } from './openmetrics.ts';
import { Problem } from './problem.ts';
import type { Component } from './questions.ts';
import type { BaseConfig } from './settings.ts';

/** What the probes of one process look at. */
export interface ProbedProcess {
  readonly config: BaseConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly phase: () => 'starting' | 'serving' | 'draining';
  readonly bus: Bus;
  /** Any of the process's pools: they all lead to the same database. */
  readonly pool: Pool;
}

/** What READINESS_REQUIRES may name. */
export const readinessWords = ['db', 'nats'] as const;
type ReadinessWord = (typeof readinessWords)[number];

/** Probes are public and reach the database: all callers within this time share one look. */
const READINESS_FRESH_MS = 250;

/** What is wrong with READINESS_REQUIRES, a line each. */
export function readinessFaults(config: Pick<BaseConfig, 'READINESS_REQUIRES'>): string[] {
  return config.READINESS_REQUIRES.every((word) => readinessWords.includes(word as ReadinessWord))
    ? []
    : [`READINESS_REQUIRES may name only ${readinessWords.join(' and ')}`];
}

/**
 * Mounts what every process answers on its own port: `/health/live`, `/health/ready` and `/metrics`, with the names
 * that the guides use (`/healthz`, `/readyz`, `/ready`). They answer while the process starts and drains.
 */
export function mountProbes(app: FastifyInstance, process: ProbedProcess): void {
  const { phase } = process;
  // Given as texts that need no serialising: load balancers ask many times a second.
  app.get('/health/live', (_request, reply) => {
    sendJson(reply, 200, '{"status":"alive"}');
  });
  // NIS: alive, but 503 while migrations run.
  app.get('/healthz', (_request, reply) => {
    const starting = phase() === 'starting';
    reply
      .code(starting ? 503 : 200)
      .header('cache-control', 'no-store')
      .type('text/plain; charset=utf-8');
    reply.send(starting ? 'starting' : 'ok');
  });

  const look = sharedFor(READINESS_FRESH_MS, () => lookAtReadiness(process));
  // Asking the database while it migrates would only wait for it.
  const readiness = async (): Promise<Readiness> => {
    const now = phase();
    return now === 'serving' ? await look() : { ready: false, body: { status: now } };
  };
  const answerReady = async (_request: unknown, reply: FastifyReply) => {
    const { ready, body } = await readiness();
    sendJson(reply, ready ? 200 : 503, JSON.stringify(body));
    return reply;
  };
  for (const path of ['/health/ready', '/readyz', '/ready']) app.get(path, answerReady);
  mountMetrics(app, process, readiness);
}

function mountMetrics(
  app: FastifyInstance,
  { config, log, metrics }: ProbedProcess,
  readiness: () => Promise<Readiness>,
): void {
  if (!config.METRICS_ENABLED) return;
  const guard = createMetricsGuard(config, log);
  app.get('/metrics', async (request, reply) => {
    const refusal = guard(request);
    if (refusal instanceof Problem) {
      sendProblem(reply, request, refusal);
      return reply;
    }
    metrics.ready.set((await readiness()).ready ? 1 : 0);
    const open = wantsOpenMetrics(request.headers.accept);
    reply
      .header('cache-control', 'no-store')
      .header('vary', 'accept')
      .type(open ? OPENMETRICS_TYPE : metrics.registry.contentType);
    return open ? openMetrics(metrics.registry) : metrics.registry.metrics();
  });
}

function sendJson(reply: FastifyReply, status: number, body: string): void {
  reply.code(status).header('cache-control', 'no-store').type('application/json; charset=utf-8').send(body);
}

interface Readiness {
  readonly ready: boolean;
  readonly body: Record<string, unknown>;
}

async function lookAtReadiness({ config, pool, bus }: ProbedProcess): Promise<Readiness> {
  const probes: Record<ReadinessWord, () => Promise<Component>> = {
    db: () => probeDatabase(pool),
    nats: () => probeBus(bus),
  };
  const checks = await Promise.all(
    readinessWords.map(async (word) => {
      const { status, latency_ms } = await probes[word]();
      return { name: word, status, latency_ms, required: config.READINESS_REQUIRES.includes(word) };
    }),
  );
  const ready = checks.every(({ status, required }) => !required || status === 'healthy');
  return { ready, body: { status: ready ? 'ready' : 'unavailable', checks } };
}

/** Runs `work` at most once in `freshMs`; callers meanwhile get the running or the last result. */
export function sharedFor<T>(freshMs: number, work: () => Promise<T>): () => Promise<T> {
  let last: Promise<T> | undefined;
  let until = 0;
  return () => {
    if (last !== undefined && performance.now() < until) return last;
    until = Number.POSITIVE_INFINITY;
    const current = work().finally(() => {
      until = performance.now() + freshMs;
    });
    last = current;
    return current;
  };
}
