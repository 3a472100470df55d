import { newId } from '@gatehouse/kit';
import {
  type ApiAnswer,
  goodPassword,
  newEmail,
  startPlatform,
  type TestPlatform,
} from '@gatehouse/kit/testing';
import { auth } from './service.ts';
import { createStandIn, type StandInToken } from './token-testing.ts';

/** An event as it stands in the outbox. */
export interface Told {
  readonly type: string;
  readonly tenant_id: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Somebody signed in. */
export interface Person {
  readonly userId: string;
  readonly tenantId: string;
  readonly email: string;
  readonly sessionId: string;
  readonly token: string;
}

/** The auth service under test, beside a stand-in for token. */
export interface TestAuth {
  readonly platform: TestPlatform;
  readonly token: StandInToken;
  /** Registers, raises to the role behind the API, and signs in. */
  person(about?: { email?: string; tenantId?: string; role?: string }): Promise<Person>;
  tenant(): Promise<string>;
  login(email: string, password?: string, tenantId?: string): Promise<ApiAnswer>;
  /** Events of a type that say `matches`, the oldest first. Events that the relay has sent stay until audit confirms. */
  told(type: string, matches?: Record<string, unknown>): Promise<Told[]>;
  close(): Promise<void>;
}

/** Starts auth on a database and a nats-server of its own. */
export async function startAuth(overrides: Record<string, string> = {}): Promise<TestAuth> {
  const { control, service } = createStandIn();
  // Admission is tested where it is meant; everywhere else nobody shall wait for a place.
  const platform = await startPlatform([service, auth], { MAX_CONCURRENT_HASHES: '64', ...overrides });
  const { api, database } = platform;
  const login: TestAuth['login'] = (email, password = goodPassword, tenantId) =>
    api.post('/api/auth/login', { email, password, ...(tenantId && { tenant_id: tenantId }) });
  return {
    platform,
    token: control,
    login,
    async person({ email = newEmail(), tenantId, role } = {}) {
      const registered = await api.post('/api/auth/register', {
        email,
        password: goodPassword,
        ...(tenantId && { tenant_id: tenantId }),
      });
      if (registered.status !== 201) throw new Error(registered.text);
      const { user_id } = registered.body;
      if (role) await database.query('update auth.user_account set role = $2 where id = $1', [user_id, role]);
      const { body, text } = await login(email, goodPassword, tenantId);
      if (body.access_token === undefined) throw new Error(text);
      const { tenant_id } = registered.body;
      return {
        userId: user_id,
        tenantId: tenant_id,
        email,
        sessionId: body.session_id,
        token: body.access_token,
      };
    },
    async tenant() {
      const id = newId();
      await database.query(
        `insert into auth.tenant (id, name, registration, synced_version) values ($1, 'other', 'open', 1)`,
        [id],
      );
      return id;
    },
    told: (type, matches = {}) =>
      database.query<Told>(
        `select type, tenant_id, data from auth.outbox where type = $1 and data @> $2 order by sequence`,
        [type, JSON.stringify(matches)],
      ),
    close: () => platform.close(),
  };
}
