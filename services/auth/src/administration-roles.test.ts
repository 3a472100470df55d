import { covers, may, type Permission, type Role, roleNames } from '@gatehouse/kit';
import { newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Person, startAuth, type TestAuth } from './testing.ts';

// Every role × every action × every role of the target, in one tenant and from another.
let auth: TestAuth;
let tenantId: string;
const actors = new Map<Role, Person>();
const foreign = new Map<Role, Person>();
beforeAll(async () => {
  auth = await startAuth();
  tenantId = await auth.tenant();
  const elsewhere = await auth.tenant();
  for (const role of roleNames) {
    actors.set(role, await auth.person({ role, tenantId }));
    foreign.set(role, await auth.person({ role, tenantId: elsewhere }));
  }
});
afterAll(() => auth?.close());

interface Action {
  readonly name: string;
  readonly needs: Permission;
  readonly method: 'POST' | 'DELETE';
  readonly path: (id: string) => string;
  readonly body?: object;
  /** The role that it gives, which must not be above the own either. */
  readonly gives?: Role;
}

const because = { reason: 'a test' };
const verb = (name: string, needs: Permission): Action => ({
  name,
  needs,
  method: 'POST',
  path: (id) => `/api/admin/users/${id}/${name}`,
  body: because,
});
const actions: readonly Action[] = [
  verb('unlock', 'users.unlock'),
  verb('reset-lockout', 'users.unlock'),
  verb('revoke-sessions', 'sessions.revoke'),
  verb('lock', 'users.manage'),
  ...roleNames.map((role) => ({
    ...verb('role', 'users.grant'),
    name: `role ${role}`,
    gives: role,
    body: { role, ...because },
  })),
  verb('disable', 'users.manage'),
  verb('enable', 'users.manage'),
  {
    name: 'delete',
    needs: 'users.manage',
    method: 'DELETE',
    path: (id) => `/api/admin/users/${id}?reason=test`,
  },
];

async function targetOf(role: Role): Promise<string> {
  const [made] = await auth.platform.database.query<{ id: string }>(
    `insert into auth.user_account (id, tenant_id, email, password_hash, role, synced_version)
     values (gen_random_uuid(), $1, $2, '', $3, 1) returning id`,
    [tenantId, newEmail(), role],
  );
  return made?.id ?? '';
}

const reset = (id: string, role: Role) =>
  auth.platform.database.query(`update auth.user_account set role = $2, status = 'active' where id = $1`, [
    id,
    role,
  ]);

const request = ({ method, path, body }: Action, by: Person | undefined, id: string) =>
  auth.platform.api.request(method, path(id), body, { token: by?.token });

function expected(actor: Role, action: Action, target: Role): string {
  if (!may({ roles: [actor] }, action.needs)) return '403 forbidden';
  if (!covers(actor, target) || !covers(actor, action.gives ?? 'USER')) return '403 role_too_high';
  // A user who is active is not enabled; that is nobody's rank.
  return action.method === 'DELETE' ? '204' : '200';
}

const said = ({ status, body }: { status: number; body?: { code?: string } }) =>
  status < 300 ? `${status}` : `${status} ${body?.code}`;

describe.each(roleNames)('%s', (actor) => {
  it.each(actions)('may $name whom the role covers, and nobody above', async (action) => {
    for (const target of roleNames) {
      const id = await targetOf(target);
      await reset(id, target);
      const answer = await request(action, actors.get(actor), id);
      expect({ target, said: said(answer) }, answer.text).toEqual({
        target,
        said: expected(actor, action, target),
      });
      if (answer.status >= 400)
        expect(
          await auth.platform.database.query('select role, status from auth.user_account where id = $1', [
            id,
          ]),
        ).toEqual([{ role: target, status: 'active' }]);
    }
  });

  it('of another tenant finds nobody, whatever the reason and the role', async () => {
    if (may({ roles: [actor] }, 'tenants.all')) return;
    const id = await targetOf('USER');
    for (const action of actions) {
      const wanted = may({ roles: [actor] }, action.needs) ? '404 not_found' : '403 forbidden';
      for (const body of action.body === undefined
        ? [undefined]
        : [action.body, { ...action.body, reason: '' }]) {
        const answer = await request({ ...action, ...(body && { body }) }, foreign.get(actor), id);
        expect({ action: action.name, said: said(answer) }).toEqual({ action: action.name, said: wanted });
      }
    }
  });

  it('makes users of the roles that it covers, if it may make users at all', async () => {
    for (const role of roleNames) {
      const answer = await auth.platform.api.post(
        '/api/admin/users',
        { email: newEmail(), role, ...because },
        { token: actors.get(actor)?.token },
      );
      const manages = may({ roles: [actor] }, 'users.manage');
      const wanted = covers(actor, role) ? '201' : '403 role_too_high';
      expect({ role, said: said(answer) }).toEqual({ role, said: manages ? wanted : '403 forbidden' });
    }
  });
});

it('nobody without a token', async () => {
  const id = await targetOf('USER');
  for (const action of actions)
    expect(said(await request(action, undefined, id))).toBe('401 unauthenticated');
});

it('who am I says what the roles allow', async () => {
  for (const role of roleNames) {
    const { body } = await auth.platform.api.get('/api/auth/me', { token: actors.get(role)?.token });
    expect(body.roles).toContain(role);
    expect((body.permissions as Permission[]).every((one) => may({ roles: [role] }, one))).toBe(true);
    expect(body.permissions.includes('users.read')).toBe(role !== 'USER');
  }
});
