import { PassThrough, type Readable } from 'node:stream';
import {
  Balancer,
  ConfigError,
  clientIpHeader,
  clientPropagates,
  connectionDefaults,
  credentialHeader,
  originsOf,
  retryLater,
} from '@gatehouse/kit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Dispatcher } from 'undici';
import type { GatewayContext } from './context.ts';
import { edgePath } from './edge-path.ts';
import { type Upstream, upstreamAt, upstreams } from './upstream.ts';

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** Connections to one instance. */
const CONNECTIONS_MAX = 128;
const PASSED_ON_BYTES_MAX = 1024 * 1024;
/** How long what is large may take to begin its answer. */
const LARGE_MS = 300_000;
/** Longer answers are passed on as they come; shorter ones in one piece, which costs less. */
const WHOLE_ANSWER_BYTES_MAX = 64 * 1024;

/** Hop-by-hop (RFC 9110 §7.6.1), or of the gateway's own making on the next hop. */
const notPassedOn: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'host',
  'content-length',
  'traceparent',
  'forwarded',
]);
// What a client says of addresses and credentials ends here: the gateway says it anew.
const clientClaims = /^x-(?:gatehouse|forwarded)-/;
const notPassedBack: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'date',
  'traceparent',
  'vary',
]);

/**
 * Passes requests for services of other processes on, body unread. Mounts nothing for the services of this process.
 * @throws ConfigError when it is not known where one of them listens.
 */
export async function useProxy(
  app: FastifyInstance,
  ctx: GatewayContext,
  local: readonly string[],
): Promise<void> {
  const remote = upstreams.filter(({ service }) => !local.includes(service));
  if (remote.length === 0) return;
  const balancers = balancersOf(ctx, remote);
  app.addHook('onClose', async () => {
    await Promise.all([...balancers.values()].map((balancer) => balancer.close()));
  });

  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    // Well above what services read: they refuse, so that a sign-in too large to read still reaches the audit.
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    const handler = async (request: FastifyRequest, reply: FastifyReply) => {
      const path = edgePath(request.url);
      const upstream = path === undefined ? undefined : upstreamAt(path);
      const balancer = upstream === undefined ? undefined : balancers.get(upstream.service);
      // A wildcard of one service also catches what the table gives to another, which may be in this process.
      if (upstream === undefined || balancer === undefined) return reply.callNotFound();
      const timeouts = upstream.large ? { headersTimeout: LARGE_MS, bodyTimeout: LARGE_MS } : {};
      const answer = await send(balancer, timeouts, request, ctx);
      return passBack(answer, request, reply);
    };
    const mount = (into: FastifyInstance, { path, below }: Upstream) => {
      for (const url of below ? [path, `${path}/*`] : [path])
        into.route({ method: methods, url, handler, exposeHeadRoute: false, bodyLimit: PASSED_ON_BYTES_MAX });
    };
    for (const one of remote) if (!one.large) mount(scope, one);
    await scope.register(async (large) => {
      large.removeAllContentTypeParsers();
      // Nothing is gathered here: the service says who may send so much, before it reads it, and how much.
      large.addContentTypeParser('*', (_request, payload, done) => done(null, unread(payload)));
      for (const one of remote) if (one.large) mount(large, one);
    });
  });
}

/**
 * A body to pass on as it comes. Apart from the client's connection, so that an answer that comes before the body has
 * gone through (401) ends the body only, and the client still gets it.
 */
function unread(payload: Readable): Readable {
  const passed = new PassThrough();
  payload.once('error', (error) => passed.destroy(error));
  payload.once('close', () => {
    if (!payload.readableEnded) passed.destroy(new Error('the client has gone'));
  });
  passed.once('close', () => payload.unpipe(passed).resume());
  return payload.pipe(passed);
}

function balancersOf(ctx: GatewayContext, remote: readonly Upstream[]): Map<string, Balancer> {
  const { config, log, metrics } = ctx;
  const services = [...new Set(remote.map(({ service }) => service))];
  const faults = services
    .filter((service) => originsOf(config, service) === undefined)
    .map(
      (service) =>
        `${service.toUpperCase().replaceAll('-', '_')}_URL is missing: the gateway must know where the ${service} service listens`,
    );
  if (faults.length > 0) throw new ConfigError(faults);
  const pool = {
    ...connectionDefaults,
    connections: CONNECTIONS_MAX,
    headersTimeout: config.UPSTREAM_TIMEOUT_SECONDS * 1000,
    bodyTimeout: config.UPSTREAM_TIMEOUT_SECONDS * 1000,
  };
  return new Map(
    services.map((upstream) => {
      const origins = originsOf(config, upstream) ?? [];
      return [upstream, new Balancer({ origins, upstream, service: 'gateway', pool, log, metrics })];
    }),
  );
}

async function send(
  balancer: Balancer,
  timeouts: Pick<Dispatcher.RequestOptions, 'headersTimeout' | 'bodyTimeout'>,
  request: FastifyRequest,
  ctx: GatewayContext,
): Promise<Dispatcher.ResponseData> {
  const options: Dispatcher.RequestOptions = {
    ...timeouts,
    // As it came, never through URL(), which would resolve dot segments: the service reads what the gateway judged.
    path: request.url,
    method: request.method as Dispatcher.HttpMethod,
    headers: headersFor(request, ctx),
    body: request.body instanceof Uint8Array || request.body instanceof PassThrough ? request.body : null,
  };
  try {
    return await balancer.request(options);
  } catch (error) {
    throw problemOf(error);
  }
}

function headersFor(request: FastifyRequest, ctx: GatewayContext): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  const named = (request.headers.connection ?? '').toLowerCase().split(/\s*,\s*/);
  for (const [name, value] of Object.entries(request.headers)) {
    if (value === undefined || notPassedOn.has(name) || clientClaims.test(name) || named.includes(name))
      continue;
    headers[name] = value;
  }
  headers[credentialHeader] = ctx.secrets.serviceCredential;
  if (request.client.ip !== null) headers[clientIpHeader] = request.client.ip;
  if (!clientPropagates()) headers.traceparent = request.trace.traceparent;
  return headers;
}

async function passBack(
  answer: Dispatcher.ResponseData,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  reply.code(answer.statusCode);
  for (const [name, value] of Object.entries(answer.headers))
    if (value !== undefined && !notPassedBack.has(name)) reply.header(name, value);
  addVary(reply, answer.headers.vary);
  const length = Number(answer.headers['content-length'] ?? Number.NaN);
  if (request.method === 'HEAD' || answer.statusCode === 204 || answer.statusCode === 304) {
    await answer.body.dump();
    return reply.send();
  }
  if (!(length <= WHOLE_ANSWER_BYTES_MAX)) return reply.send(answer.body);
  try {
    return reply.send(Buffer.from(await answer.body.bytes()));
  } catch (error) {
    reply.removeHeader('content-length');
    throw problemOf(error);
  }
}

function addVary(reply: FastifyReply, vary: string | string[] | undefined): void {
  if (vary === undefined) return;
  const own = reply.getHeader('vary');
  reply.header('vary', [own, vary].flat().filter(Boolean).join(', '));
}

const timeouts: ReadonlySet<string> = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
const codeOf = (error: unknown) => (error as { code?: string } | null)?.code ?? '';

function problemOf(error: unknown) {
  return timeouts.has(codeOf(error))
    ? retryLater('upstream_timeout', 1)
    : retryLater('upstream_unavailable', 1);
}
