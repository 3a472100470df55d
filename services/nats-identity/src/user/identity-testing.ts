import { auth } from '@gatehouse/auth';
import type { ApiAnswer } from '@gatehouse/kit/testing';
import { eventually } from '@gatehouse/kit/testing';
import { parseCreds } from '@gatehouse/nats-claims';
import { token } from '@gatehouse/token';
import { connect, credsAuthenticator, jwtAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { captured } from '../cluster/sync-testing.ts';
import { startTestCluster, type TestCluster } from '../cluster-testing.ts';
import type { NatsIdentityContext } from '../context.ts';
import { type Actor, startNatsIdentity, type TestNatsIdentity } from '../testing.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
type Body = any;

/** The service with an operator of its own and, when asked for, a real server that its reconciler looks after. */
export interface IdentityGround {
  readonly service: TestNatsIdentity;
  readonly ctx: NatsIdentityContext;
  readonly operatorId: string;
  readonly cluster: TestCluster | undefined;
  /** Asks as the platform's administrator unless `as`; the answer must be a success. */
  ok(method: string, path: string, body?: unknown, as?: Actor): Promise<Body>;
  ask(method: string, path: string, body?: unknown, as?: Actor): Promise<ApiAnswer>;
  account(claims?: object, as?: Actor): Promise<Body>;
  role(accountId: string, template?: object, more?: object): Promise<Body>;
  user(accountId: string, more?: object): Promise<Body>;
  issue(userId: string, body?: object, as?: Actor): Promise<Body>;
  /** Until every server is proven to hold the account as it is now. */
  settled(accountId: string): Promise<void>;
  /** An ADMIN of another tenant, who may have accounts. */
  tenant(): Promise<Actor>;
  connect(creds: string): Promise<NatsConnection>;
  /** With a JWT alone, as bearer users do. */
  connectBearer(jwt: string): Promise<NatsConnection>;
  /** With a JWT and a seed kept elsewhere. */
  connectOwn(jwt: string, seed: Buffer): Promise<NatsConnection>;
  close(): Promise<void>;
}

let count = 0;
const unique = (kind: string) => `${kind}-${process.pid}-${count++}`;

/** Starts it. `binary`: with a server; null: without. */
export async function startIdentityGround(
  binary: string | null,
  settings: Record<string, string> = {},
): Promise<IdentityGround> {
  const { service: natsIdentity, ctx } = captured();
  const service = await startNatsIdentity(settings, [auth, token, natsIdentity]);
  const ask: IdentityGround['ask'] = (method, path, body, as = service.root) =>
    service.api.request(method, `/api/nats${path}`, body, { token: as.token });
  const ok: IdentityGround['ok'] = async (method, path, body, as) => {
    const answer = await ask(method, path, body, as);
    if (answer.status >= 300) throw new Error(`${method} ${path} answered ${answer.status} ${answer.text}`);
    return answer.body;
  };
  const operator = await ok('POST', '/operators', { name: unique('operator'), open_to_tenants: true });
  const cluster = binary === null ? undefined : await startCluster(operator, ok, binary);
  const withLogin = (authenticator: ReturnType<typeof credsAuthenticator>) =>
    connect({
      servers: cluster?.urls ?? [],
      authenticator,
      reconnect: false,
      maxReconnectAttempts: 0,
      timeout: 5000,
    });
  return {
    service,
    ctx: ctx(),
    operatorId: operator.id,
    cluster,
    ok,
    ask,
    account: (claims, as) =>
      ok('POST', '/accounts', { operator_id: operator.id, name: unique('account'), claims }, as),
    role: (account_id, template, more = {}) =>
      ok('POST', '/roles', { account_id, name: unique('role'), template, ...more }),
    user: (account_id, more = {}) => ok('POST', '/users', { account_id, name: unique('user'), ...more }),
    issue: (userId, body = {}, as) => ok('POST', `/users/${userId}/credentials`, body, as),
    settled: (accountId) =>
      eventually(async () => {
        const { sync } = await ok('GET', `/accounts/${accountId}`);
        if (sync.length === 0 || sync.some(({ state }: Body) => state !== 'in_sync'))
          throw new Error(`not yet: ${JSON.stringify(sync)}`);
      }, 20_000),
    async tenant() {
      const admin = await service.tenantAdmin();
      await ok('PUT', `/allowances/${admin.tenantId}/${operator.id}`, { accounts_max: 10, limits_max: {} });
      return admin;
    },
    connect: (creds) => withLogin(credsAuthenticator(Buffer.from(creds))),
    connectBearer: (jwt) => withLogin(jwtAuthenticator(jwt)),
    connectOwn: (jwt, seed) => withLogin(jwtAuthenticator(jwt, seed)),
    async close() {
      await service.close();
      await cluster?.close();
    },
  };
}

async function startCluster(operator: Body, ok: IdentityGround['ok'], binary: string): Promise<TestCluster> {
  const system = await ok('GET', `/accounts/${operator.system_account_id}`);
  const cluster = await startTestCluster({
    operatorJwt: operator.jwt,
    systemAccount: { publicKey: system.public_key, jwt: system.jwt },
    binary,
  });
  await ok('POST', '/clusters', { name: unique('cluster'), operator_id: operator.id, servers: cluster.urls });
  return cluster;
}

/** The claims of a JWT. */
export function claimsOf(jwt: string): Body {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());
}

/** The JWT of a creds file. */
export function jwtOf(creds: string): string {
  const parsed = parseCreds(creds);
  if (parsed === undefined) throw new Error('not a creds file');
  return parsed.jwt;
}
