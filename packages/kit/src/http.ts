import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { clientAddress } from './client-address.ts';
import { isConnectivityError } from './database-error.ts';
import { parseJson } from './json.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { clientIpHeader, credentialHeader } from './peer.ts';
import { Problem, type ProblemCode, problemDocument, retryLater } from './problem.ts';
import type { Client } from './route.ts';
import { constantTimeEqual } from './secret.ts';
import type { Secrets } from './secrets.ts';
import type { BaseConfig } from './settings.ts';
import { type Trace, traceOf } from './trace.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Where the request stands in its trace. */
    trace: Trace;
    /** Whose request it is, after trusted proxies. */
    client: Client;
  }
}

/** Bytes a JSON body may have unless its route says otherwise. */
export const bodyBytesMax = 64 * 1024;

// What must answer before the database is migrated: probes, and peers that ask for health.
const answersAlways = /^\/(?:health|readyz|ready|metrics|internal\/[a-z-]+\/health)/;

/** What an app needs to know. */
export interface AppOptions {
  readonly config: BaseConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly secrets: Secrets;
  /** Label of requests that no route took. */
  readonly service: string;
  /** Everything but health waits until the process serves. */
  readonly phase: () => 'starting' | 'serving' | 'draining';
}

/** A Fastify app as every service has it: problem documents, traces, client addresses, metrics; no routes yet. */
export function createApp(options: AppOptions): FastifyInstance {
  const app: FastifyInstance = Fastify({
    logger: false,
    genReqId: () => '',
    bodyLimit: bodyBytesMax,
    exposeHeadRoutes: true,
    requestTimeout: 30_000,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: false },
    ajv: {
      customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: true, allErrors: false },
    },
    frameworkErrors: (error, request, reply) => {
      // The router refused the path itself (malformed escapes): hooks have not run.
      request.trace = traceOf(undefined);
      sendProblem(reply, request, toProblem(error) ?? new Problem('invalid_request'));
    },
    clientErrorHandler: refuseBrokenRequest,
  });
  app.decorateRequest('trace', null as never);
  app.decorateRequest('client', null as never);
  useClientAndTrace(app, options);
  useProblems(app, options);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, parseJson(body as string));
    } catch (error) {
      done(error as Error);
    }
  });
  return app;
}

function useClientAndTrace(app: FastifyInstance, options: AppOptions): void {
  const { config, secrets, phase } = options;
  app.addHook('onRequest', (request, reply, done) => {
    const { headers } = request;
    request.trace = traceOf(headers.traceparent as string | undefined);
    const shown = headers[credentialHeader];
    const trusted = typeof shown === 'string' && constantTimeEqual(shown, secrets.serviceCredential);
    const handedOn = trusted ? headers[clientIpHeader] : undefined;
    const ip =
      typeof handedOn === 'string'
        ? handedOn
        : clientAddress({
            peer: request.raw.socket.remoteAddress,
            forwardedFor: headers['x-forwarded-for'],
            policy: config.TRUST_PROXY,
          });
    const agent = headers['user-agent'];
    request.client = { ip, userAgent: agent === undefined ? null : printable(agent) };
    reply.header('traceparent', request.trace.traceparent);
    // Whoever asks again shall find another instance, on a new connection (RFC 9112 §9.6).
    if (phase() === 'draining') reply.header('connection', 'close');
    if (phase() === 'starting' && !answersAlways.test(request.url)) done(retryLater('starting', 1));
    else done();
  });
}

// What ends in logs and listings must not steer a terminal or break a line (attack family 7).
function printable(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out.
  return value.slice(0, 256).replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

function useProblems(app: FastifyInstance, options: AppOptions): void {
  app.setErrorHandler((error: Error, request, reply) => {
    const problem = toProblem(error);
    if (problem === undefined) {
      options.log.error(
        { err: error, trace_id: request.trace.traceId, route: request.routeOptions.url },
        'request failed unexpectedly',
      );
    }
    sendProblem(reply, request, problem ?? new Problem('internal'));
  });
  const methodsOf = keepRoutes(app);
  app.setNotFoundHandler((request, reply) => {
    const methods = methodsOf(request.url.split('?', 1)[0] ?? '/');
    if (methods.length === 0) return sendProblem(reply, request, new Problem('not_found'));
    const allow = [...methods, 'OPTIONS'].join(', ');
    if (request.method === 'OPTIONS') return void reply.code(204).header('allow', allow).send();
    sendProblem(reply, request, new Problem('method_not_allowed', { headers: { allow } }));
  });
  app.addHook('onResponse', (request, reply, done) => {
    countRequest(options, request, reply);
    done();
  });
}

// The router finds a route by its pattern only, so the patterns are kept here to answer 405 (RFC 9110 §15.5.6).
function keepRoutes(app: FastifyInstance): (path: string) => string[] {
  const known: { form: RegExp; methods: readonly string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    // OPTIONS is answered for every path that has another method.
    const methods = [method].flat().filter((one) => one !== 'OPTIONS');
    const form = url
      .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replace(/:[a-z_]+/gi, '[^/]+')
      .replace(/\*/g, '.*');
    known.push({ form: new RegExp(`^${form}$`), methods });
  });
  return (path) => [
    ...new Set(known.filter(({ form }) => form.test(path)).flatMap(({ methods }) => methods)),
  ];
}

/** Node's parser knows three dozen; what is none of these is counted together. */
const countedMethods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
]);

function countRequest(options: AppOptions, request: FastifyRequest, reply: FastifyReply): void {
  const labels = {
    service: (request.routeOptions.config as { service?: string } | undefined)?.service ?? options.service,
    route: request.routeOptions.url ?? 'unmatched',
    method: countedMethods.has(request.method) ? request.method : 'other',
    status: String(reply.statusCode),
  };
  options.metrics.httpDuration.observe({
    labels,
    value: reply.elapsedTime / 1000,
    ...(request.trace?.recorded && { exemplarLabels: { trace_id: request.trace.traceId } }),
  });
  options.metrics.httpRequests.inc(labels);
  if (labels.service === 'nats-identity') {
    // The guide's own names, without the route.
    const { service, method, status } = labels;
    options.metrics.nisRequestDuration.observe({ service, method, status }, reply.elapsedTime / 1000);
    options.metrics.nisRequests.inc({ service, method, status });
  }
  const level = levelOf(reply.statusCode, labels.route);
  if (!options.log.isLevelEnabled(level)) return;
  // Not as `service`: that is the process' own in every line, and a name may stand in a line once.
  const { service: handled_by, ...about } = labels;
  options.log[level](
    {
      ...{ handled_by, ...about },
      status: reply.statusCode,
      duration_ms: Math.round(reply.elapsedTime * 10) / 10,
      client_ip: request.client?.ip,
      trace_id: request.trace?.traceId,
    },
    'request answered',
  );
}

// A probe that is not ready yet asks again at once, and what a limit refuses comes in floods: both are counted elsewhere.
function levelOf(status: number, route: string): 'error' | 'warn' | 'info' | 'debug' {
  if (status < 400 || status === 429 || answersAlways.test(route)) return 'debug';
  if (status < 500) return 'info';
  return status === 503 ? 'warn' : 'error';
}

/** Answers with a problem document. */
export function sendProblem(reply: FastifyReply, request: FastifyRequest, problem: Problem): void {
  void reply
    .code(problem.status)
    .headers(problem.options.headers ?? {})
    .header('cache-control', 'no-store')
    .type('application/problem+json')
    .serializer((body: unknown) => JSON.stringify(body))
    .send(problemDocument(problem, request.trace.traceId));
}

/** Fastify's own codes of what a caller did wrong, as ours. */
const framework: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_request',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_BAD_URL: 'invalid_request',
  FST_ERR_MAX_PARAM_LENGTH: 'uri_too_long',
  FST_ERR_ASYNC_CONSTRAINT: 'invalid_request',
};

interface AjvFault {
  readonly instancePath: string;
  readonly message?: string;
  readonly keyword: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** The problem that an error stands for, or undefined when it is our own fault. */
export function toProblem(error: unknown): Problem | undefined {
  if (error instanceof Problem) return error;
  if (!(error instanceof Error)) return undefined;
  const { validation, code } = error as Error & { validation?: readonly AjvFault[]; code?: string };
  if (validation !== undefined)
    return new Problem('invalid_request', { members: { errors: validation.map(fault) } });
  const known = code === undefined ? undefined : framework[code];
  if (known !== undefined) return new Problem(known);
  if (isConnectivityError(error))
    return new Problem('database_unavailable', { headers: { 'retry-after': '1' } });
  return undefined;
}

// Field and rule, never the value: it may be a password.
function fault(one: AjvFault): { pointer: string; message: string } {
  const extra = one.params.additionalProperty ?? one.params.missingProperty;
  const name = typeof extra === 'string' && one.keyword === 'required' ? `/${extra}` : '';
  const message =
    one.keyword === 'additionalProperties' ? 'has a field that is not known here' : (one.message ?? '');
  return { pointer: one.instancePath + name, message };
}

// Requests that Node's parser refused never reach Fastify's hooks; they get a problem document all the same.
function refuseBrokenRequest(error: NodeJS.ErrnoException, socket: import('node:net').Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return;
  const code = error.code === 'HPE_HEADER_OVERFLOW' ? 'headers_too_large' : 'invalid_request';
  const problem = new Problem(code);
  const body = JSON.stringify(problemDocument(problem, randomUUID().replaceAll('-', '')));
  socket.end(
    `HTTP/1.1 ${problem.status} ${code === 'headers_too_large' ? 'Request Header Fields Too Large' : 'Bad Request'}\r\n` +
      `content-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
