import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { toProblem } from './http.ts';
import { refuseText } from './json.ts';
import { credentialHeader } from './peer.ts';
import { may } from './permission.ts';
import type { Principal } from './principal.ts';
import { Problem, retryLater } from './problem.ts';
import type { Access, Call, Route } from './route.ts';
import { constantTimeEqual } from './secret.ts';
import type { Answer, Context } from './service.ts';
import type { Verifier } from './verifier.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set before the handler of every route that is not public. */
    principal: Principal | undefined;
  }
}

/** Puts a service's public routes on an app. */
export function mountRoutes(
  app: FastifyInstance,
  routes: readonly Route<never>[],
  ctx: Context,
  verifier: Verifier,
): void {
  if (!app.hasRequestDecorator('principal')) app.decorateRequest('principal', undefined);
  for (const route of routes) app.route(routeOptions(route, ctx, verifier));
}

function routeOptions(route: Route<never>, ctx: Context, verifier: Verifier): RouteOptions {
  const status = route.status ?? 200;
  const run = route.run(ctx as never) as (call: Call) => Promise<unknown>;
  const refused = route.refused?.(ctx as never);
  return {
    method: route.method,
    url: route.path,
    config: { service: ctx.name } as never,
    ...(route.bodyBytesMax === undefined ? {} : { bodyLimit: route.bodyBytesMax }),
    schema: {
      ...(route.body && { body: route.body }),
      ...(route.query && { querystring: route.query }),
      ...(route.params && { params: route.params }),
      ...(status === 204 ? {} : { response: { [status]: route.answer } }),
    },
    ...(route.access === 'public' ? {} : { onRequest: authenticate(route.access, verifier) }),
    preValidation: refuseBadText,
    ...(refused && {
      errorHandler: async (error: Error, request: FastifyRequest) => {
        const problem = toProblem(error);
        // 'refused' is for what never reached run(): its own problems are run's to record.
        if (problem !== undefined && problem.status < 500 && request.body === undefined)
          await refused(request, problem.code);
        else if (problem?.code === 'invalid_request') await refused(request, problem.code);
        throw error;
      },
    }),
    handler: async (request: FastifyRequest, reply: FastifyReply) => {
      const answer = await run({
        body: request.body,
        query: request.query,
        params: request.params,
        principal: request.principal,
        client: request.client,
        trace: request.trace,
        request,
        reply,
      });
      if (reply.sent) return reply;
      reply.code(status);
      if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
      return status === 204 ? reply.send() : answer;
    },
  };
}

// The query and the path are not JSON: percent-escapes can smuggle NUL past the body's parser.
function refuseBadText(request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  try {
    for (const part of [request.query, request.params])
      for (const value of Object.values(part as Record<string, unknown>))
        if (typeof value === 'string') refuseText(value);
    done();
  } catch (error) {
    done(error as Error);
  }
}

const bearer = /^Bearer +([A-Za-z0-9._~+/=-]{1,8192})$/i;

function authenticate(access: Exclude<Access, 'public'>, verifier: Verifier) {
  return async (request: FastifyRequest): Promise<void> => {
    const token = bearer.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined)
      throw new Problem('unauthenticated', { headers: { 'www-authenticate': 'Bearer' } });
    const verdict = await verifier.verify(token, request.trace.traceparent);
    if (verdict.outcome === 'unavailable') throw retryLater('upstream_unavailable', 1);
    if (verdict.outcome !== 'ok') {
      // RFC 6750 §3.1
      throw new Problem('unauthenticated', {
        headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
      });
    }
    if (access !== 'user' && !may(verdict.principal, access)) throw new Problem('forbidden');
    request.principal = verdict.principal;
  };
}

/** Puts a service's answers to its peers on an app; each request must carry the service credential. */
export function mountAnswers(app: FastifyInstance, answers: readonly Answer<never>[], ctx: Context): void {
  for (const { question, run } of answers) {
    const answer = run(ctx as never) as (body: unknown, traceparent: string) => Promise<unknown>;
    app.route({
      method: 'POST',
      url: `/internal/${question.service}/${question.name}`,
      config: { service: ctx.name } as never,
      bodyLimit: 4 * 1024 * 1024,
      schema: { body: question.ask },
      onRequest: async (request) => {
        const shown = request.headers[credentialHeader];
        // 404, not 401: nobody without the credential may learn that the route is there.
        if (typeof shown !== 'string' || !constantTimeEqual(shown, ctx.secrets.serviceCredential))
          throw new Problem('not_found');
      },
      handler: async (request) => answer(request.body, request.trace.traceparent),
    });
  }
}
