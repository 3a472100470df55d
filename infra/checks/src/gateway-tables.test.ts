import { limitScopes, scopeOf } from '@gatehouse/gateway/limit-scopes';
import { upstreamOf, upstreams } from '@gatehouse/gateway/upstream';
import { describe, expect, it } from 'vitest';
import { routesOfServices, services } from './platform.ts';

/** Paths as a caller sends them: each parameter has a value. */
const asSent = (path: string): string => path.replace(/:[a-z_]+/g, '0198c5c0-0000-7000-8000-000000000000');

const all = routesOfServices();
const passedOn = all.filter(({ service }) => service !== 'gateway');

describe('the tables of the gateway', () => {
  it('send every route of every service to that service', () => {
    const wrong = passedOn
      .filter(({ service, route }) => upstreamOf(asSent(route.path)) !== service)
      .map(({ service, route }) => `${route.path} of ${service} goes to ${upstreamOf(asSent(route.path))}`);
    expect(wrong).toEqual([]);
  });

  it('pass none of the gateway’s own routes on, in either mode', () => {
    const own = all.filter(({ service }) => service === 'gateway');
    expect(own.length).toBeGreaterThan(0);
    expect(own.filter(({ route }) => upstreamOf(asSent(route.path)) !== undefined)).toEqual([]);
  });

  it('name no path at which its service answers nothing', () => {
    const idle = upstreams.filter(
      ({ path, below, service }) =>
        !passedOn.some(
          ({ service: owner, route }) =>
            owner === service && (route.path === path || (below && route.path.startsWith(`${path}/`))),
        ),
    );
    expect(idle.map(({ path }) => path)).toEqual([]);
  });

  it('let nobody outside reach what services ask each other', () => {
    const internal = services.flatMap(({ answers }) =>
      answers.map(({ question }) => `/internal/${question.service}/${question.name}`),
    );
    expect(internal.length).toBeGreaterThan(0);
    expect(internal.filter((path) => upstreamOf(path) !== undefined)).toEqual([]);
    expect(upstreams.filter(({ path }) => path.includes('internal'))).toEqual([]);
    expect(routesOfServices().filter(({ route }) => route.path.includes('internal'))).toEqual([]);
  });

  it('leave no method and path to two services', () => {
    const owners = Map.groupBy(
      routesOfServices(),
      ({ route }) => `${route.method} ${route.path.replace(/:[a-z_]+/g, ':')}`,
    );
    expect([...owners].filter(([, list]) => list.length > 1).map(([name]) => name)).toEqual([]);
  });

  it('leave no path to two services, whatever the method', () => {
    const owners = Map.groupBy(routesOfServices(), ({ route }) => asSent(route.path));
    const shared = [...owners].filter(([, list]) => new Set(list.map(({ service }) => service)).size > 1);
    expect(shared.map(([path]) => path)).toEqual([]);
  });

  it('limit every route of administrators as such, and no other', () => {
    const wrong = all
      .filter(({ route }) => route.access !== 'public' && route.access !== 'user')
      .filter(({ route }) => scopeOf(route.method, asSent(route.path)) !== 'admin');
    expect(wrong.map(({ route }) => route.path)).toEqual([]);
    const ordinary = all
      .filter(({ route }) => route.access === 'public' || route.access === 'user')
      .filter(({ route }) => scopeOf(route.method, asSent(route.path)) === 'admin');
    expect(ordinary.map(({ route }) => route.path)).toEqual([]);
  });

  it('have a scope for each route that takes a password or a refresh token', () => {
    const scopes = new Map(
      passedOn.map(({ route }) => [
        `${route.method} ${route.path}`,
        scopeOf(route.method, asSent(route.path)),
      ]),
    );
    const secrets = passedOn
      .filter(({ route }) =>
        /"(?:password|current_password|old_password|refresh_token)"/.test(JSON.stringify(route.body ?? {})),
      )
      .map(({ route }) => `${route.method} ${route.path}`);
    expect(
      secrets.filter((name) => !['login', 'register', 'refresh', 'admin'].includes(scopes.get(name) ?? '')),
    ).toEqual([]);
  });

  it('name no scope twice', () => {
    expect(new Set(limitScopes).size).toBe(limitScopes.length);
  });
});
