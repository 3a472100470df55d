import { randomBytes } from 'node:crypto';
import { createNkey, encodeJwt, type Nkey, nkeyFromSeed, parseCreds } from '@gatehouse/nats-claims';
import type { Auth } from '@nats-io/nats-core';
import { sql } from 'kysely';
import type { NatsIdentityBase, NatsidTransaction } from '../context.ts';
import { openSecret, readSeed } from '../secret.ts';
import { ClusterUnreachable } from './connection.ts';

/**
 * What a connection is for, and so what it may do. Whoever pushes can cut off every account, whoever watches sees every
 * user's JWT (of a bearer that is the credential): no connection may do both.
 */
export type Purpose = 'push' | 'watch' | 'purge';

/** How a connection says who it is. */
export interface Login {
  /** Answers a server's challenge with what is valid now. */
  readonly authenticate: (nonce?: string) => Auth;
  readonly inboxPrefix: string;
  /** Whether the login is made here and can be made anew; creds from outside are what they are. */
  readonly renewable: boolean;
  /** Makes it anew. Connections take the new one when they connect the next time. */
  renew(): Promise<void>;
  /** When it ends, in milliseconds since 1970; undefined: never, or unknown. */
  expiresAt(): number | undefined;
}

/** How long a login that we make lives: short, for it lives in memory only and costs nothing to make. */
const LOGIN_SECONDS = 3_600;

const questions = [
  '$SYS.REQ.CLAIMS.*',
  '$SYS.REQ.ACCOUNT.*.CLAIMS.*',
  '$SYS.REQ.ACCOUNT.*.INFO',
  '$SYS.REQ.SERVER.PING',
  '$SYS.REQ.SERVER.PING.*',
];
const rights: Readonly<
  Record<Purpose, { readonly pub: readonly string[]; readonly sub: readonly string[] }>
> = {
  push: { pub: questions, sub: [] },
  purge: { pub: [...questions, '$SYS.REQ.ACCOUNT.*.JSZ', '$JS.API.ACCOUNT.PURGE.*'], sub: [] },
  watch: {
    pub: ['$SYS.REQ.SERVER.PING', '$SYS.REQ.SERVER.PING.*', '$SYS.REQ.ACCOUNT.*.CONNZ'],
    sub: [
      '$SYS.ACCOUNT.*.CONNECT',
      '$SYS.ACCOUNT.*.DISCONNECT',
      '$SYS.SERVER.*.CLIENT.AUTH.ERR',
      '$SYS.SERVER.*.STATSZ',
      '$SYS.SERVER.*.SHUTDOWN',
      '$SYS.SERVER.*.LAMEDUCK',
    ],
  },
};

/** What of a cluster a login needs. */
export interface LoginCluster {
  readonly operator_id: string;
  readonly secret_id: string | null;
}

/**
 * The login for a cluster: the creds that came with it, or a user of the system account made on the spot, whose private
 * key never leaves this process' memory.
 * @throws ClusterUnreachable when there is nothing to sign it with
 */
export async function openLogin(
  ctx: NatsIdentityBase,
  cluster: LoginCluster,
  purpose: Purpose,
): Promise<Login> {
  if (cluster.secret_id !== null) return givenLogin(await readCreds(ctx, cluster.secret_id));
  const inboxPrefix = `_INBOX_${randomBytes(9).toString('hex')}`;
  const mint = () =>
    ctx.db.transaction().execute((tx) => mintLogin(tx, ctx, cluster.operator_id, { purpose, inboxPrefix }));
  let current = await mint();
  return {
    authenticate: (nonce) => answerTo(nonce, current.jwt, current.key),
    inboxPrefix,
    renewable: true,
    async renew() {
      current = await mint();
    },
    expiresAt: () => current.expiresAt,
  };
}

function givenLogin({ jwt, key }: { jwt: string; key: Nkey }): Login {
  return {
    authenticate: (nonce) => answerTo(nonce, jwt, key),
    // Below the prefix that every client uses by default: the rights of such creds were written for it.
    inboxPrefix: `_INBOX.${randomBytes(9).toString('hex')}`,
    renewable: false,
    async renew() {},
    expiresAt: () => undefined,
  };
}

const answerTo = (nonce: string | undefined, jwt: string, key: Nkey): Auth => ({
  jwt,
  nkey: key.publicKey,
  sig: nonce === undefined ? '' : key.sign(nonce).toString('base64url'),
});

async function readCreds(ctx: NatsIdentityBase, secretId: string): Promise<{ jwt: string; key: Nkey }> {
  const row = await ctx.db
    .selectFrom('secret')
    .select(['id', 'kind', 'public_key', 'sealed'])
    .where('id', '=', secretId)
    .executeTakeFirstOrThrow();
  const text = openSecret(ctx, row);
  try {
    const creds = parseCreds(text.toString('utf8'));
    if (creds === undefined) throw new ClusterUnreachable('the creds of the cluster cannot be read');
    return { jwt: creds.jwt, key: nkeyFromSeed(creds.seed, 'user') };
  } finally {
    text.fill(0);
  }
}

async function mintLogin(
  tx: NatsidTransaction,
  ctx: NatsIdentityBase,
  operatorId: string,
  { purpose, inboxPrefix }: { readonly purpose: Purpose; readonly inboxPrefix: string },
): Promise<{ jwt: string; key: Nkey; expiresAt: number }> {
  const { signer, issuerAccount, now } = await systemSigner(tx, ctx, operatorId);
  const key = createNkey('user');
  const exp = now + LOGIN_SECONDS;
  const { pub, sub } = rights[purpose];
  const jwt = encodeJwt(
    { sub: key.publicKey, name: `gatehouse-${purpose}`, iat: now, exp },
    {
      pub: { allow: pub },
      sub: { allow: [`${inboxPrefix}.>`, ...sub] },
      subs: -1,
      data: -1,
      payload: -1,
      ...(issuerAccount !== undefined && { issuer_account: issuerAccount }),
      type: 'user',
    },
    signer,
  );
  return { jwt, key, expiresAt: exp * 1_000 };
}

/**
 * What signs users of the operator's system account. No key is made here when there is none: servers would have to learn
 * of it first, through the very connection that it is for.
 */
async function systemSigner(tx: NatsidTransaction, ctx: NatsIdentityBase, operatorId: string) {
  const system = await tx
    .selectFrom('operator')
    .innerJoin('account', 'account.id', 'operator.system_account_id')
    .select(['account.id', 'account.public_key', 'account.secret_id', 'operator.claims'])
    .select(sql<number>`floor(extract(epoch from clock_timestamp()))::bigint`.as('now'))
    .where('operator.id', '=', operatorId)
    .executeTakeFirst();
  if (system === undefined)
    throw new ClusterUnreachable('the operator has no system account here, and the cluster has no creds');
  const { now } = system;
  const plain = await tx
    .selectFrom('account_key')
    .select('secret_id')
    .where('account_id', '=', system.id)
    .where('scope', 'is', null)
    .where('secret_id', 'is not', null)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .executeTakeFirst();
  if (plain?.secret_id)
    return { signer: await readSeed(tx, ctx, plain.secret_id), issuerAccount: system.public_key, now };
  if (system.secret_id === null || system.claims.strict_signing_key_usage === true)
    throw new ClusterUnreachable(
      'no private key of the system account is here, and the cluster has no creds',
    );
  return { signer: await readSeed(tx, ctx, system.secret_id), issuerAccount: undefined, now };
}
