import type { ServiceName } from '@gatehouse/kit';

/** A path, and which service answers there; `below` takes everything under it as well. */
export interface Upstream {
  readonly path: string;
  readonly below: boolean;
  readonly service: Exclude<ServiceName, 'gateway'>;
  /** Its bodies are large and its answers slow: passed on as they come, without the gateway's own bounds. */
  readonly large?: true;
}

/**
 * Which service answers where. A house test holds it against the services' own routes, both ways. What is not named
 * here, /internal above all, does not pass the gateway.
 */
export const upstreams: readonly Upstream[] = [
  { path: '/.well-known/jwks.json', below: false, service: 'token' },
  { path: '/api/auth/refresh', below: false, service: 'token' },
  { path: '/api/auth/logout', below: false, service: 'token' },
  { path: '/api/auth/sessions', below: true, service: 'token' },
  { path: '/api/auth', below: true, service: 'auth' },
  { path: '/protected', below: true, service: 'auth' },
  { path: '/api/admin/sessions', below: true, service: 'token' },
  { path: '/api/admin/keys', below: true, service: 'token' },
  { path: '/api/admin/users', below: true, service: 'auth' },
  { path: '/api/admin/tenants', below: true, service: 'auth' },
  { path: '/api/admin/login-events', below: true, service: 'audit' },
  { path: '/api/audit', below: true, service: 'audit' },
  { path: '/api/audit/export', below: false, service: 'audit', large: true },
  { path: '/api/nats/import', below: true, service: 'nats-identity', large: true },
  { path: '/api/nats', below: true, service: 'nats-identity' },
];

const longestFirst = upstreams.toSorted((a, b) => b.path.length - a.path.length);

/** The entry of a path (as edge-path.ts reads it), or undefined when nobody outside may ask there. */
export function upstreamAt(path: string): Upstream | undefined {
  return longestFirst.find((one) => path === one.path || (one.below && path.startsWith(`${one.path}/`)));
}

/** The service that answers at a path. */
export const upstreamOf = (path: string): Upstream['service'] | undefined => upstreamAt(path)?.service;
