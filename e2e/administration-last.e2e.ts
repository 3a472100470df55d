import { covers, may, type Role, roleNames } from '@gatehouse/kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Operation, operationsOf, pathOf, sampleOf, sampleQuery } from './operations.ts';
import { newPerson, newTenant, type Platform, signIn, startPlatform } from './platform.ts';
import { type Holder, newHolder } from './tenant-objects.ts';

// Hard case 12: the last administrator cannot demote or lock itself; nobody grants a role above their own.
let platform: Platform;
let operations: Operation[];
let root: Actor;

interface Actor {
  readonly user_id: string;
  readonly access_token: string;
}

beforeAll(async () => {
  platform = await startPlatform();
  operations = await operationsOf(platform.api);
  root = await signedInRoot();
});
afterAll(() => platform?.close());

async function signedInRoot(): Promise<Actor> {
  const { access_token } = await signIn(platform.api, platform.admin);
  const me = await platform.api.get('/api/auth/me', { token: access_token });
  return { user_id: me.body.user_id, access_token };
}

const send = (method: string, path: string, by: Actor, body?: object) =>
  platform.api.request(method, path, body, { token: by.access_token });

/** Every way to stop being an administrator. */
const exits = {
  demoted: (by: Actor, id: string) => setRole(by, id, 'USER'),
  'made AUDITOR': (by: Actor, id: string) => setRole(by, id, 'AUDITOR'),
  locked: (by: Actor, id: string) => send('POST', `/api/admin/users/${id}/lock`, by, { reason: 'test' }),
  disabled: (by: Actor, id: string) => send('POST', `/api/admin/users/${id}/disable`, by, { reason: 'test' }),
  deleted: (by: Actor, id: string) => send('DELETE', `/api/admin/users/${id}?reason=test`, by),
} as const;
type Exit = keyof typeof exits;
const everyExit = Object.keys(exits) as Exit[];

function setRole(by: Actor, id: string, role: Role) {
  return send('POST', `/api/admin/users/${id}/role`, by, { role, reason: 'test' });
}

async function standing(id: string): Promise<string> {
  const answer = await send('GET', `/api/admin/users/${id}`, root);
  return answer.status === 200 ? `${answer.body.role} ${answer.body.status}` : String(answer.status);
}

describe('hard case 12: the last administrator', () => {
  it('of a tenant cannot demote, lock, disable or delete itself', async () => {
    const admin = await newHolder(platform, 'ADMIN', await newTenant(platform));
    for (const exit of everyExit) {
      const { status, body } = await exits[exit](admin, admin.user_id);
      expect({ exit, status, code: body?.code }).toEqual({ exit, status: 409, code: 'last_administrator' });
    }
    expect(await standing(admin.user_id)).toBe('ADMIN active');
    expect((await send('GET', '/api/admin/users', admin)).status).toBe(200);
  });

  it('of the platform cannot, and nobody else can do it to them; nor can their tenant be switched off', async () => {
    const me = await send('GET', '/api/auth/me', root);
    const tenant = `/api/admin/tenants/${me.body.tenant_id}`;
    for (const exit of everyExit) {
      const { status, body } = await exits[exit](root, root.user_id);
      expect({ exit, status, code: body?.code }).toEqual({ exit, status: 409, code: 'last_administrator' });
    }
    for (const answer of [
      await send('PATCH', tenant, root, { status: 'disabled', reason: 'test' }),
      await send('DELETE', `${tenant}?reason=test&delay_days=0`, root),
    ])
      expect(answer.status, answer.text).toBe(409);
    const admin = await newHolder(platform, 'ADMIN', me.body.tenant_id);
    for (const exit of everyExit)
      expect((await exits[exit](admin, root.user_id)).body.code).toBe('role_too_high');
    expect(await standing(root.user_id)).toBe('PLATFORM_ADMIN active');
    await signIn(platform.api, platform.admin);
  });

  it('is still there after every change that any route could make to itself', async () => {
    const admin = await newHolder(platform, 'ADMIN', await newTenant(platform));
    const changes = operations.filter(
      ({ method, path, roles }) =>
        method !== 'GET' && path.startsWith('/api/admin/users/{id}') && roles.includes('ADMIN'),
    );
    expect(changes.length).toBeGreaterThan(7);
    for (const operation of changes) {
      // Ending its own sessions is its right.
      const { access_token } = await signIn(platform.api, {
        email: admin.email,
        password: admin.password,
        tenant_id: admin.tenant_id,
      });
      const answer = await platform.api.request(
        operation.method,
        pathOf(operation, { id: admin.user_id }) + sampleQuery(operation),
        operation.body && sampleOf(operation.body),
        { token: access_token },
      );
      expect(answer.status, answer.text).toBeLessThan(500);
      expect(await standing(admin.user_id), `${operation.method} ${operation.path}`).toBe('ADMIN active');
    }
  });

  for (const exit of everyExit)
    it(`of two administrators who are ${exit} by each other, or by themselves, at once, one stays`, async () => {
      for (const crosswise of [true, false])
        for (let round = 0; round < 3; round += 1) {
          const tenant_id = await newTenant(platform);
          const pair = [
            await newHolder(platform, 'ADMIN', tenant_id),
            await newHolder(platform, 'ADMIN', tenant_id),
          ] as const;
          const answers = await Promise.all(
            pair.map((one, index) => exits[exit](one, (pair[crosswise ? 1 - index : index] ?? one).user_id)),
          );
          const done = answers.filter(({ status }) => status < 300);
          expect(done.length, answers.map(({ text }) => text).join()).toBe(1);
          const states = await Promise.all(pair.map(({ user_id }) => standing(user_id)));
          expect(states.filter((state) => state === 'ADMIN active')).toHaveLength(1);
        }
    });

  it('of the platform: of two who leave at once, whichever way, one stays', async () => {
    for (const exit of everyExit) {
      const { tenant_id } = (await send('GET', '/api/auth/me', root)).body;
      const other = await newHolder(platform, 'PLATFORM_ADMIN', tenant_id);
      const answers = await Promise.all([
        exits[exit](other, other.user_id),
        setRole(root, root.user_id, 'USER'),
      ]);
      const left = answers.map(({ status }) => status < 300);
      expect(left.filter(Boolean).length, `${exit}: ${answers.map(({ text }) => text).join()}`).toBe(1);
      // Whoever stayed restores the other, and the second goes for good.
      if (left[1]) expect((await setRole(other, root.user_id, 'PLATFORM_ADMIN')).status).toBe(200);
      root = await signedInRoot();
      if (!left[0]) expect((await exits.deleted(root, other.user_id)).status).toBe(204);
      expect(await standing(root.user_id)).toBe('PLATFORM_ADMIN active');
    }
  });
});

describe('hard case 12: roles above the own', () => {
  for (const own of roleNames)
    it(`${own} grants exactly the roles whose permissions it holds, to whom it may change, by every route that gives one`, async () => {
      const tenant_id = await newTenant(platform);
      const actor = await newHolder(platform, own, tenant_id);
      const grants = may({ roles: [own] }, 'users.grant');
      for (const wanted of roleNames) {
        const allowed = grants && covers(own, wanted);
        if (!covers(own, wanted)) expect((await setRole(actor, actor.user_id, wanted)).status).toBe(403);
        const target = await newPerson(platform.api, { tenant_id });
        const given = await setRole(actor, target.user_id, wanted);
        expect({ own, wanted, done: given.status === 200 }, given.text).toEqual({
          own,
          wanted,
          done: allowed,
        });
        if (!allowed) expect(['role_too_high', 'forbidden']).toContain(given.body.code);
        expect(await standing(target.user_id)).toBe(`${allowed ? wanted : 'USER'} active`);
        const made = await send('POST', '/api/admin/users', actor, {
          tenant_id,
          email: `made-${own}-${wanted}-${Date.now()}@example.com`.toLowerCase(),
          role: wanted,
          reason: 'test',
        });
        expect({ own, wanted, made: made.status === 201 }, made.text).toEqual({ own, wanted, made: allowed });
      }
    });

  it('nobody changes somebody who may do more than they, by any route', async () => {
    const tenant_id = await newTenant(platform);
    const people: Holder[] = [];
    for (const role of roleNames) people.push(await newHolder(platform, role, tenant_id));
    const changes = operations.filter(
      ({ method, path }) => method !== 'GET' && path.startsWith('/api/admin/users/{id}'),
    );
    let tried = 0;
    for (const operation of changes)
      for (const actor of people.filter(({ role }) => operation.roles.includes(role)))
        for (const target of people.filter(({ role }) => !covers(actor.role, role))) {
          const answer = await platform.api.request(
            operation.method,
            pathOf(operation, { id: target.user_id }) + sampleQuery(operation),
            operation.body && sampleOf(operation.body),
            { token: actor.access_token },
          );
          const about = `${operation.method} ${operation.path}: ${actor.role} on ${target.role}`;
          expect({ about, code: answer.body?.code }).toEqual({ about, code: 'role_too_high' });
          tried += 1;
        }
    expect(tried).toBeGreaterThan(10);
    for (const { user_id, role } of people) expect(await standing(user_id)).toBe(`${role} active`);
    for (const { access_token } of people)
      expect((await platform.api.get('/api/auth/me', { token: access_token })).status).toBe(200);
  });
});
