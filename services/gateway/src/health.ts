import { createRequire } from 'node:module';
import { probe, questions, sharedFor } from '@gatehouse/kit';
import type { FastifyInstance } from 'fastify';
import type { GatewayContext } from './context.ts';

type Component = questions.Component;
type Status = Component['status'];

/** One look serves every caller of this time: the report asks every service, and anybody may ask for it. */
const FRESH_MS = 1000;
/** Longer than the probes behind it (2 s), so that their own answer is what is told. */
const DEADLINE_MS = 2500;

/** Without these nobody can sign in or stay signed in; without the others the platform is degraded. */
const essential: ReadonlySet<string> = new Set(['database', 'signing_keys', 'gateway', 'auth', 'token']);

/** The version of this release. */
export const version: string = createRequire(import.meta.url)('../package.json').version;

/** The report of guide ID; 503 when it says `unhealthy`, so that monitors need not read it. */
export interface HealthReport {
  readonly status: Status;
  readonly version: string;
  readonly uptime_seconds: number;
  readonly components: readonly Component[];
}

/** Mounts `GET /health`. */
export function mountHealth(app: FastifyInstance, ctx: GatewayContext, phase: () => string): void {
  const look = sharedFor(FRESH_MS, () => componentsOf(ctx));
  app.get('/health', async (_request, reply) => {
    const components = await look();
    const report: HealthReport = {
      // While it starts the dependencies may be well, but nobody is served.
      status: phase() === 'serving' ? overall(components) : 'unhealthy',
      version,
      uptime_seconds: Math.round(process.uptime()),
      components,
    };
    reply.code(report.status === 'unhealthy' ? 503 : 200).header('cache-control', 'no-store');
    return report;
  });
}

/** How the rate limits' shared store stands; the gateway's own component of the report. */
export function probeCache(ctx: GatewayContext): Component {
  const { status } = ctx.limitStore;
  return {
    name: 'cache',
    status: status === 'lost' ? 'degraded' : 'healthy',
    latency_ms: 0,
    details: { store: status === 'memory' ? 'memory' : 'redis', state: status },
  };
}

async function componentsOf(ctx: GatewayContext): Promise<Component[]> {
  const answers = await Promise.all(ctx.peer.services.map((service) => ask(ctx, service)));
  const of = (service: string, name: string): Component =>
    answers.find((one) => one.service === service)?.parts.find((part) => part.name === name) ?? {
      name,
      status: 'unhealthy',
      latency_ms: 0,
      details: { reason: 'unreachable' },
    };
  return [
    of('gateway', 'database'),
    of('gateway', 'nats'),
    of('gateway', 'cache'),
    of('token', 'signing_keys'),
    // Nothing sends mail yet; the guides' monitors expect the line.
    { name: 'email', status: 'healthy', latency_ms: 0, details: { configured: false } },
    ...answers.map(({ component }) => component),
  ];
}

interface ServiceAnswer {
  readonly service: string;
  readonly parts: readonly Component[];
  readonly component: Component;
}

async function ask(ctx: GatewayContext, service: string): Promise<ServiceAnswer> {
  let parts: readonly Component[] = [];
  const reached = await probe(
    service,
    async () => {
      const options = { deadlineMs: DEADLINE_MS };
      parts = (await ctx.peer.ask(questions.healthOf(service), {}, options)).components;
      return Object.fromEntries(parts.map(({ name, status }) => [name, status]));
    },
    DEADLINE_MS + 500,
  );
  const status = reached.status === 'healthy' ? overall(parts) : reached.status;
  return { service, parts, component: { ...reached, status } };
}

/** Unhealthy when something essential is; degraded when anything else is not well. */
export function overall(components: readonly Component[]): Status {
  if (components.some(({ name, status }) => status === 'unhealthy' && essential.has(name)))
    return 'unhealthy';
  return components.every(({ status }) => status === 'healthy') ? 'healthy' : 'degraded';
}
