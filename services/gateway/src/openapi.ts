import { problems, questions, sharedFor } from '@gatehouse/kit';
import type { GatewayContext } from './context.ts';
import { version } from './health.ts';

type Paths = Record<string, unknown>;

/** A service that was away joins the document within this time. */
const FRESH_MS = 10_000;

const Problem = {
  type: 'object',
  description: 'RFC 9457. `code` is stable: programs go by it, `detail` is for people.',
  required: ['type', 'title', 'status', 'detail', 'code', 'trace_id'],
  properties: {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(problems) },
    trace_id: { type: 'string' },
  },
} as const;

/** The API as OpenAPI 3.1: every service says its own paths, the gateway adds those of the edge. */
export function openApiOf(ctx: GatewayContext): () => Promise<Record<string, unknown>> {
  const look = sharedFor(FRESH_MS, () => pathsOf(ctx));
  return async () => ({
    openapi: '3.1.0',
    info: {
      title: 'Gatehouse',
      version,
      description:
        'Identity platform: sign-in, sessions, tokens and audit. Times are RFC 3339 UTC, ids UUID v7, fields snake_case; refusals are problem documents.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: ctx.config.TOKEN_ISSUER }],
    paths: await look(),
    components: {
      schemas: { Problem },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'An access token.' },
      },
    },
  });
}

async function pathsOf(ctx: GatewayContext): Promise<Paths> {
  const asked = await Promise.all(
    ctx.peer.services.map(async (service) => {
      try {
        return (await ctx.peer.ask(questions.documentOf(service), {})).paths;
      } catch (err) {
        ctx.log.warn({ err, upstream: service }, 'a service did not say its paths');
        return {};
      }
    }),
  );
  return Object.fromEntries(
    Object.entries(merge([edgePaths, ...asked])).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

// Two services may share a path with different methods.
function merge(all: readonly Paths[]): Paths {
  const merged: Record<string, Record<string, unknown>> = {};
  for (const paths of all)
    for (const [path, operations] of Object.entries(paths))
      merged[path] = { ...merged[path], ...(operations as Record<string, unknown>) };
  return merged;
}

const read = (summary: string, type: string, more: Record<string, { description: string }> = {}) => ({
  get: {
    tags: ['gateway'],
    summary,
    security: [],
    'x-access': 'public',
    responses: { '200': { description: 'Success.', content: { [type]: {} } }, ...more },
  },
});
const unready = { '503': { description: 'Not ready.' } };

/** What the edge itself answers, in both modes. */
const edgePaths: Paths = {
  '/health': read('The state of the platform and its parts', 'application/json', {
    '503': { description: 'The report says unhealthy.' },
  }),
  '/health/live': read('Whether the process lives', 'application/json'),
  '/health/ready': read('Whether requests are served', 'application/json', unready),
  '/healthz': read('Whether the process lives; 503 while migrations run', 'text/plain', unready),
  '/readyz': read('The same as /health/ready', 'application/json', unready),
  '/ready': read('The same as /health/ready', 'application/json', unready),
  '/metrics': read('Metrics for Prometheus; see METRICS_GUARD', 'text/plain', {
    '403': { description: 'The guard refused.' },
  }),
  '/openapi.json': read('This document', 'application/json'),
  '/asyncapi.json': read('The events as AsyncAPI 3', 'application/json'),
  '/docs': read('This document for people', 'text/html'),
};
