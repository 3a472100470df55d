import { randomUUID } from 'node:crypto';
import type { Role } from '@gatehouse/kit';
import { expect } from 'vitest';
import type { NamedObject, Operation } from './operations.ts';
import { auditEvent, newPerson, newTenant, type Person, type Platform, signIn } from './platform.ts';

/** Somebody who holds a role in a tenant. */
export interface Holder extends Person {
  readonly role: Role;
}

/** Registers somebody in a tenant and gives them a role; the token is of afterwards. */
export async function newHolder(platform: Platform, role: Role, tenant_id: string): Promise<Holder> {
  const person = await newPerson(platform.api, { tenant_id });
  if (role === 'USER') return { ...person, role };
  const answer = await platform.api.post(
    `/api/admin/users/${person.user_id}/role`,
    { role, reason: 'test' },
    { token: await platform.adminToken() },
  );
  expect(answer.status, answer.text).toBe(200);
  const { email, password } = person;
  return { ...person, ...(await signIn(platform.api, { email, password, tenant_id })), role };
}

/** A real object of each kind that belongs to one tenant, or to the platform and is hidden from tenants. */
export interface TenantObjects {
  readonly tenantId: string;
  readonly person: Person;
  readonly admin: Holder;
  /** Which object a name in the path, query or body of an operation stands for. */
  idOf(operation: Operation, named: Pick<NamedObject, 'name'>): string;
  /** Whether there is one. */
  knows(operation: Operation, named: Pick<NamedObject, 'name'>): boolean;
  /** The one object that not even the tenant's own administrators may see. */
  readonly hiddenOperatorId: string;
  /** Every id, for what must not be shown to others. */
  readonly ids: readonly string[];
}

/** Makes them. */
export async function tenantObjects(platform: Platform, name: string): Promise<TenantObjects> {
  const tenantId = await newTenant(platform, name);
  const person = await newPerson(platform.api, { tenant_id: tenantId });
  // Somebody else's: what is done to the person must not have ended it.
  const { session_id } = await newPerson(platform.api, { tenant_id: tenantId });
  const admin = await newHolder(platform, 'ADMIN', tenantId);
  const nats = await natsObjects(platform, tenantId);
  const event = await auditEvent(platform, { tenant_id: tenantId, type: 'admin.user.role_changed' });
  const known: Readonly<Record<string, string>> = {
    tenant_id: tenantId,
    user_id: person.user_id,
    session_id,
    event_id: String(event.id),
    ...nats,
  };
  return {
    tenantId,
    person,
    admin,
    hiddenOperatorId: nats.operator_id ?? '',
    ids: Object.values(known),
    knows: (operation, { name }) => known[kindOf(operation.path, name) ?? ''] !== undefined,
    idOf(operation, named) {
      const id = known[kindOf(operation.path, named.name) ?? ''];
      if (id !== undefined) return id;
      throw new Error(
        `${operation.method} ${operation.path} names an object by ${named.name}: make one in tenant-objects.ts`,
      );
    },
  };
}

/** What `{id}` is, by the path before it. */
const byPath: Readonly<Record<string, string>> = {
  '/api/admin/users/': 'user_id',
  '/api/admin/tenants/': 'tenant_id',
  '/api/admin/sessions/': 'session_id',
  '/api/auth/sessions/': 'session_id',
  '/api/audit/events/': 'event_id',
  '/api/nats/operators/': 'operator_id',
  '/api/nats/accounts/': 'account_id',
  '/api/nats/roles/': 'role_id',
  '/api/nats/users/': 'nats_user_id',
};

function kindOf(path: string, name: string): string | undefined {
  if (name === 'id') return Object.entries(byPath).find(([prefix]) => path.startsWith(prefix))?.[1];
  if (name === 'user_id' && path.startsWith('/api/nats/')) return 'nats_user_id';
  if (name === 'public_key') return path.includes('/signing-keys/') ? 'signing_key' : 'revoked_key';
  // Whoever did it, and to whom it was done, in the audit's filters.
  if (name === 'actor_id' || name === 'subject_id') return 'user_id';
  return name;
}

async function natsObjects(platform: Platform, tenant_id: string): Promise<Record<string, string>> {
  const token = await platform.adminToken();
  // biome-ignore lint/suspicious/noExplicitAny: answers of several routes.
  const make = async (path: string, about: object): Promise<any> => {
    const answer = await platform.api.post(`/api/nats/${path}`, { reason: 'test', ...about }, { token });
    expect(answer.status, `${path}: ${answer.text}`).toBeLessThan(300);
    return answer.body;
  };
  const operator_id: string = (await make('operators', { name: `hidden-${randomUUID().slice(0, 8)}` })).id;
  const account_id: string = (await make('accounts', { tenant_id, name: 'theirs' })).id;
  const user = await make('users', { account_id, name: 'theirs' });
  const gone = await make('users', { account_id, name: 'gone' });
  await make(`accounts/${account_id}/revocations`, { public_key: gone.public_key });
  const keys = await make(`accounts/${account_id}/signing-keys`, {});
  return {
    operator_id,
    account_id,
    role_id: (await make('roles', { account_id, name: 'theirs' })).id,
    nats_user_id: user.id,
    revoked_key: gone.public_key,
    signing_key: keys.change.diff[0].after,
  };
}
