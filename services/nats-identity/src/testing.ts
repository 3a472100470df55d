import { auth } from '@gatehouse/auth';
import type { Service } from '@gatehouse/kit';
import { newId } from '@gatehouse/kit';
import { type Api, goodPassword, newEmail, startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import { token } from '@gatehouse/token';
import { natsIdentity } from './service.ts';

/** Somebody signed in. */
export interface Actor {
  readonly userId: string;
  readonly tenantId: string;
  readonly token: string;
}

/** The nats-identity service under test, beside the real auth and token. */
export interface TestNatsIdentity {
  readonly platform: TestPlatform;
  readonly api: Api;
  /** A platform administrator. */
  readonly root: Actor;
  /** Registers in a tenant (default: the default tenant), raises to the role behind the API, and signs in. */
  person(about?: { tenantId?: string; role?: 'USER' | 'ADMIN' | 'PLATFORM_ADMIN' }): Promise<Actor>;
  /** A tenant of its own with an ADMIN. */
  tenantAdmin(): Promise<Actor>;
  /** Events of a type whose data contains `matches`, the oldest first. */
  told(type: string, matches?: Record<string, unknown>): Promise<Told[]>;
  close(): Promise<void>;
}

/** An event as it stands in the outbox. */
export interface Told {
  readonly type: string;
  readonly tenant_id: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Starts nats-identity on a database and a bus of its own. */
export async function startNatsIdentity(
  overrides: Record<string, string> = {},
  services: readonly Service[] = [auth, token, natsIdentity],
): Promise<TestNatsIdentity> {
  const platform = await startPlatform(services, { MAX_CONCURRENT_HASHES: '64', ...overrides });
  const { api, database } = platform;
  const person: TestNatsIdentity['person'] = async ({ tenantId, role } = {}) => {
    const account = {
      email: newEmail(),
      password: goodPassword,
      ...(tenantId !== undefined && { tenant_id: tenantId }),
    };
    const registered = await api.post('/api/auth/register', account);
    if (registered.status !== 201) throw new Error(registered.text);
    const { user_id: userId, tenant_id } = registered.body;
    if (role) await database.query('update auth.user_account set role = $2 where id = $1', [userId, role]);
    const { body, text } = await api.post('/api/auth/login', account);
    if (body.access_token === undefined) throw new Error(text);
    return { userId, tenantId: tenant_id, token: body.access_token };
  };
  return {
    platform,
    api,
    person,
    root: await person({ role: 'PLATFORM_ADMIN' }),
    async tenantAdmin() {
      const tenantId = newId();
      await database.query(
        `insert into auth.tenant (id, name, registration, synced_version) values ($1, 'other', 'open', 1)`,
        [tenantId],
      );
      return person({ tenantId, role: 'ADMIN' });
    },
    told: (type, matches = {}) =>
      database.query<Told>(
        'select type, tenant_id, data from natsid.outbox where type = $1 and data @> $2 order by sequence',
        [type, JSON.stringify(matches)],
      ),
    close: () => platform.close(),
  };
}
