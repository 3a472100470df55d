import { may, type Permission, permissions, type Role, roleNames } from '@gatehouse/kit';
import { describe, expect, it } from 'vitest';
import { routesOfServices } from './platform.ts';

const guarded = routesOfServices().filter(
  ({ route }) => route.access !== 'public' && route.access !== 'user',
);
const holds = (role: Role, access: string): boolean => may({ roles: [role] }, access as Permission);
const named = ({ route }: (typeof guarded)[number]): string => `${route.method} ${route.path}`;

/** What rules ask for inside of a route, beside the permission that the route itself asks for. */
const askedInside: readonly Permission[] = ['tenants.all', 'sessions.revoke_all'];

/** What only those who manage it may see. */
const managersLook = ['GET /api/admin/tenants', 'GET /protected/admin/ping'];

describe('the permissions of routes', () => {
  it('are each asked for somewhere: one that nothing asks for would promise a fence that is not there', () => {
    const asked = new Set<string>([...guarded.map(({ route }) => route.access), ...askedInside]);
    expect(Object.keys(permissions).filter((name) => !asked.has(name))).toEqual([]);
  });

  it('let an AUDITOR change nothing: no route but a GET is open to it', () => {
    const open = guarded.filter(({ route }) => route.method !== 'GET' && holds('AUDITOR', route.access));
    expect(open.map(named)).toEqual([]);
    expect(guarded.filter(({ route }) => route.method !== 'GET').length).toBeGreaterThan(20);
  });

  it('are of the kind of the route: what only reads is never asked for by a change, nor the other way round', () => {
    const reads = (access: string) => access.endsWith('.read') || access === 'audit.export';
    const wrong = guarded.filter(({ route }) => (route.method === 'GET') !== reads(route.access));
    expect(wrong.map(named).filter((name) => !managersLook.some((one) => name.startsWith(one)))).toEqual([]);
  });

  it('are held by PLATFORM_ADMIN for every route, and by USER for none', () => {
    expect(guarded.filter(({ route }) => !holds('PLATFORM_ADMIN', route.access)).map(named)).toEqual([]);
    expect(guarded.filter(({ route }) => holds('USER', route.access)).map(named)).toEqual([]);
    expect(roleNames).toContain('PLATFORM_ADMIN');
  });

  it('cover everything under /api/admin, /api/audit and /api/nats: no route there is public or for every user', () => {
    const open = routesOfServices()
      .filter(({ route }) => /^\/api\/(?:admin|audit|nats)\//.test(route.path))
      .filter(({ route }) => route.access === 'public' || route.access === 'user');
    expect(open.map(({ route }) => route.path)).toEqual([]);
  });
});
