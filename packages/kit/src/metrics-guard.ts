import type { FastifyRequest } from 'fastify';
import { cidrMatcher } from './client-address.ts';
import type { Log } from './log.ts';
import { Problem } from './problem.ts';
import { constantTimeEqual } from './secret.ts';
import type { BaseConfig } from './settings.ts';

type GuardConfig = Pick<
  BaseConfig,
  | 'NODE_ENV'
  | 'HOST'
  | 'METRICS_ENABLED'
  | 'METRICS_GUARD'
  | 'METRICS_GUARD_SECRET'
  | 'METRICS_GUARD_ALLOWLIST'
>;

/** Shorter ones could be guessed over the network. */
const SECRET_CHARS_MIN = 16;
/** A scraper that is refused asks again every few seconds: one line a minute tells as much. */
const WARN_EVERY_MS = 60_000;

/** What is wrong with the METRICS_* settings, a line each. */
export function metricsGuardFaults(config: GuardConfig): string[] {
  if (!config.METRICS_ENABLED) return [];
  const production = config.NODE_ENV === 'production';
  if (config.METRICS_GUARD === 'none')
    return production && !isPrivateHost(config.HOST)
      ? [
          'METRICS_GUARD none would show /metrics to everybody in production: use cidr or secret, or set HOST to a private address',
        ]
      : [];
  if (config.METRICS_GUARD === 'cidr') return faultOf(() => cidrMatcher(config.METRICS_GUARD_ALLOWLIST));
  const secret = config.METRICS_GUARD_SECRET;
  if (secret === undefined) return ['METRICS_GUARD_SECRET is missing: METRICS_GUARD=secret compares with it'];
  return production && secret.length < SECRET_CHARS_MIN
    ? [
        `METRICS_GUARD_SECRET is shorter than ${SECRET_CHARS_MIN} characters; make one with: openssl rand -hex 32`,
      ]
    : [];
}

function faultOf(work: () => unknown): string[] {
  try {
    work();
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : 'METRICS_GUARD_ALLOWLIST is not valid'];
  }
}

// 0.0.0.0 and :: are every address of the machine, and a name may resolve to anything: neither counts as private.
function isPrivateHost(host: string): boolean {
  if (host === 'localhost') return true;
  const near = cidrMatcher('loopback,linklocal,uniquelocal', 'HOST');
  return near(host);
}

/**
 * Whether a request may read /metrics: returns the refusal, or undefined. The address is the client's after trusted
 * proxies, so that an ingress in front does not open the page to everybody behind it.
 */
export function createMetricsGuard(
  config: GuardConfig,
  log: Log,
): (request: FastifyRequest) => Problem | undefined {
  const judge = judgeOf(config);
  let warnedAt = Number.NEGATIVE_INFINITY;
  return (request) => {
    if (judge(request)) return undefined;
    if (performance.now() - warnedAt > WARN_EVERY_MS) {
      warnedAt = performance.now();
      log.warn(
        {
          event: 'metrics_guard',
          guard: config.METRICS_GUARD,
          client_ip: request.client.ip,
          trace_id: request.trace.traceId,
        },
        'metrics guard refused a request',
      );
    }
    return new Problem('forbidden', { detail: 'Operators: see METRICS_GUARD.' });
  };
}

function judgeOf(config: GuardConfig): (request: FastifyRequest) => boolean {
  if (config.METRICS_GUARD === 'none') return () => true;
  if (config.METRICS_GUARD === 'cidr') {
    const listed = cidrMatcher(config.METRICS_GUARD_ALLOWLIST);
    return ({ client }) => client.ip !== null && listed(client.ip);
  }
  const secret = config.METRICS_GUARD_SECRET ?? '';
  return ({ headers }) => {
    // As a bearer token too: it is what Prometheus can send. Its `http_headers` of 3.5 repeat a header once more with
    // every scrape (prometheus/common#919), so that the second scrape shows another text and a later one is too large.
    const shown = headers['x-metrics-secret'] ?? /^bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
    return secret !== '' && typeof shown === 'string' && constantTimeEqual(shown, secret);
  };
}
