import type { FastifyInstance } from 'fastify';
import { asyncApiDocument } from './asyncapi.ts';
import type { GatewayContext } from './context.ts';
import { docsPage, docsPolicy } from './docs-page.ts';
import { openApiOf } from './openapi.ts';

const CACHE = 'public, max-age=60';

/** Mounts what tells callers how to call: `/openapi.json`, `/docs` and `/asyncapi.json`. */
export function mountDocuments(app: FastifyInstance, ctx: GatewayContext): void {
  const openApi = openApiOf(ctx);
  const events = JSON.stringify(asyncApiDocument());
  app.get('/openapi.json', async (_request, reply) => {
    reply.header('cache-control', CACHE).type('application/json; charset=utf-8');
    return JSON.stringify(await openApi());
  });
  app.get('/asyncapi.json', async (_request, reply) => {
    reply.header('cache-control', CACHE).type('application/json; charset=utf-8');
    return events;
  });
  app.get('/docs', async (_request, reply) => {
    reply
      .header('cache-control', CACHE)
      .header('content-security-policy', docsPolicy)
      .header('x-frame-options', 'DENY')
      .type('text/html; charset=utf-8');
    return docsPage(await openApi());
  });
}
