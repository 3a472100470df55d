import { findNatsServer, findNatsServer210 } from '@gatehouse/embedded';
import {
  type AccountClaims,
  completeAccountClaims,
  completeUserClaims,
  createNkey,
  encodeJwt,
  formatCreds,
  type Nkey,
  nextIat,
  systemAccountExports,
  type UserClaims,
} from '@gatehouse/nats-claims';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { startTestCluster, type TestCluster } from './cluster-testing.ts';

/** The servers that claims are proved on; without a path: not on this machine. */
export const serverVersions: readonly { readonly version: string; readonly binary: string | undefined }[] = [
  { version: '2.15', binary: findNatsServer().path },
  { version: '2.10', binary: findNatsServer210()?.path },
];

/** An operator with one server, as tests of claims need it: no database, only JWTs and what the server does with them. */
export interface ServerGround {
  readonly cluster: TestCluster;
  readonly system: NatsConnection;
  readonly systemAccount: string;
  /** Pushes an account; its claims are completed unless `raw`. */
  account(claims?: AccountClaims, options?: AccountOptions): Promise<GroundAccount>;
  close(): Promise<void>;
}

interface AccountOptions {
  readonly name?: string;
  readonly raw?: boolean;
  /** Signing keys as in the JWT. */
  readonly signingKeys?: readonly unknown[];
  readonly expiresAt?: number;
}

/** An account on the server. */
export interface GroundAccount {
  readonly key: Nkey;
  /** Pushes other claims. */
  update(claims: AccountClaims, more?: Record<string, unknown>): Promise<void>;
  /** Creds of a new user; signed by the account's identity key unless `signer`. */
  creds(claims?: UserClaims | Record<string, never>, options?: UserOptions): string;
  connect(claims?: UserClaims | Record<string, never>, options?: UserOptions): Promise<NatsConnection>;
  /** Whether a user with these claims gets in. */
  admits(claims?: UserClaims | Record<string, never>, options?: UserOptions): Promise<boolean>;
}

interface UserOptions {
  readonly name?: string;
  /** A signing key; with `scoped` the claims are taken as they are. */
  readonly signer?: Nkey;
  readonly scoped?: boolean;
  readonly expiresAt?: number;
}

const now = () => Math.floor(Date.now() / 1000);

/** Starts one. */
export async function startServerGround(binary: string): Promise<ServerGround> {
  const [root, signing, sys, sysUser] = [
    createNkey('operator'),
    createNkey('operator'),
    createNkey('account'),
    createNkey('user'),
  ];
  const operatorJwt = encodeJwt(
    { sub: root.publicKey, name: 'OP', iat: now() },
    { type: 'operator', signing_keys: [signing.publicKey], system_account: sys.publicKey },
    root,
  );
  const sysJwt = encodeJwt(
    { sub: sys.publicKey, name: 'SYS', iat: now() },
    { ...completeAccountClaims({ exports: [...systemAccountExports] }), type: 'account' },
    signing,
  );
  const cluster = await startTestCluster({
    operatorJwt,
    systemAccount: { publicKey: sys.publicKey, jwt: sysJwt },
    binary,
  });
  const sysCreds = formatCreds({
    jwt: encodeJwt(
      { sub: sysUser.publicKey, name: 'sys', iat: now() },
      { ...completeUserClaims({}), type: 'user' },
      sys,
    ),
    seed: sysUser.seed().toString(),
  });
  const system = await connectWith(cluster, sysCreds);
  return {
    cluster,
    system,
    systemAccount: sys.publicKey,
    account: (claims = {}, options = {}) => newAccount({ cluster, system, signing }, claims, options),
    async close() {
      await system.close();
      await cluster.close();
    },
  };
}

interface Ground {
  readonly cluster: TestCluster;
  readonly system: NatsConnection;
  readonly signing: Nkey;
}

async function newAccount(
  ground: Ground,
  claims: AccountClaims,
  options: AccountOptions,
): Promise<GroundAccount> {
  const key = createNkey('account');
  let iat = 0;
  const update = async (nats: AccountClaims, more: Record<string, unknown> = {}) => {
    iat = nextIat(iat);
    const jwt = encodeJwt(
      {
        sub: key.publicKey,
        name: options.name ?? 'account',
        iat,
        ...(options.expiresAt && { exp: options.expiresAt }),
      },
      {
        ...(options.raw ? nats : completeAccountClaims(nats)),
        ...(options.signingKeys && { signing_keys: options.signingKeys }),
        ...more,
        type: 'account',
      },
      ground.signing,
    );
    const reply = await ground.system.request('$SYS.REQ.CLAIMS.UPDATE', jwt, { timeout: 5000 });
    const answer = reply.json<{ error?: { description: string } }>();
    if (answer.error) throw new Error(answer.error.description);
  };
  await update(claims);
  const creds: GroundAccount['creds'] = (user = {}, { name, signer = key, scoped, expiresAt } = {}) => {
    const own = createNkey('user');
    const jwt = encodeJwt(
      { sub: own.publicKey, name: name ?? 'user', iat: now(), ...(expiresAt && { exp: expiresAt }) },
      {
        ...(scoped ? user : completeUserClaims(user)),
        ...(signer !== key && { issuer_account: key.publicKey }),
        type: 'user',
      },
      signer,
    );
    return formatCreds({ jwt, seed: own.seed().toString() });
  };
  const connectAs: GroundAccount['connect'] = (user, of) => connectWith(ground.cluster, creds(user, of));
  return {
    key,
    update,
    creds,
    connect: connectAs,
    async admits(user, of) {
      try {
        const connection = await connectAs(user, of);
        await connection.close();
        return true;
      } catch {
        return false;
      }
    },
  };
}

function connectWith(cluster: TestCluster, creds: string): Promise<NatsConnection> {
  return connect({
    servers: cluster.urls,
    authenticator: credsAuthenticator(Buffer.from(creds)),
    reconnect: false,
    maxReconnectAttempts: 0,
    timeout: 5000,
  });
}
