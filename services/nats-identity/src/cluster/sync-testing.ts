import { newId, type Running, run, type Service } from '@gatehouse/kit';
import { eventually, startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import { createNkey, encodeJwt, formatCreds, type Nkey } from '@gatehouse/nats-claims';
import type { AccountSyncTable, AccountTable, OperatorTable } from '@gatehouse/schema';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import type { Selectable } from 'kysely';
import { createAccountIn } from '../account/create-account.ts';
import { accountSigner } from '../account/signer.ts';
import { operatorSigner, reissueAccount } from '../account-jwt.ts';
import { startTestCluster, type TestCluster, type TestClusterOptions } from '../cluster-testing.ts';
import type { NatsIdentityContext } from '../context.ts';
import { createOperator } from '../operator/create-operator.ts';
import { natsIdentity } from '../service.ts';
import { createClusterIn } from './create-cluster.ts';

/** The service on a database of its own, an operator, and a registered cluster of real servers. */
export interface SyncGround {
  readonly platform: TestPlatform;
  readonly ctx: NatsIdentityContext;
  readonly operator: Selectable<OperatorTable>;
  readonly cluster: TestCluster;
  readonly clusterId: string;
  addAccount(name?: string): Promise<Selectable<AccountTable>>;
  /** Makes many in few statements, as an import would. */
  addAccounts(count: number): Promise<void>;
  /** A new JWT with another description, made by `by` or this service. */
  change(id: string, description: string, by?: NatsIdentityContext): Promise<Selectable<AccountTable>>;
  syncRow(id: string): Promise<Selectable<AccountSyncTable>>;
  /** Waits until what is wanted of an account is proven; returns its row. */
  proven(id: string, deadlineMs?: number): Promise<Selectable<AccountSyncTable>>;
  events(type: string): Promise<Record<string, unknown>[]>;
  /** Another instance on the same database. */
  second(env?: Record<string, string>): Promise<Instance>;
  /** A connection that may do all in the system account: what somebody does by hand. */
  readonly hand: NatsConnection;
  /** All answers to a question asked by hand. */
  ask(subject: string, payload?: string): Promise<string[]>;
  /** Every JWT of an account as servers store it; empty where it is not. */
  stored(publicKey: string): Promise<string[]>;
  /** A user of an account, connected to one server, so that the account is loaded there. `once`: no second try. */
  user(accountId: string, url: string, options?: { readonly once?: boolean }): Promise<NatsConnection>;
  /** The key that signs accounts. */
  operatorKey(): Promise<Nkey>;
  close(): Promise<void>;
}

/** A process of its own, in this one. */
export interface Instance extends Running {
  readonly ctx: NatsIdentityContext;
}

/** The service, and how to get at the context that it was opened with. */
export function captured(): { readonly service: Service; readonly ctx: () => NatsIdentityContext } {
  let ctx: NatsIdentityContext | undefined;
  const service: Service = {
    ...natsIdentity,
    async open(base) {
      const opened = await natsIdentity.open(base);
      ctx = opened.ctx as unknown as NatsIdentityContext;
      return opened;
    },
  };
  return {
    service,
    ctx() {
      if (ctx === undefined) throw new Error('the service was not opened');
      return ctx;
    },
  };
}

const acting = {
  by: { actor_id: null, reason: null, client_ip: null, user_agent: null },
  traceparent: null,
};

/** Starts it all. `register: false` leaves the cluster unknown to the service. */
export async function startSyncGround(
  options: Partial<TestClusterOptions> & {
    readonly env?: Record<string, string>;
    readonly register?: boolean;
    /** Services that run beside it. */
    readonly beside?: readonly Service[];
  } = {},
): Promise<SyncGround> {
  const { service, ctx: ctxOf } = captured();
  const platform = await startPlatform([...(options.beside ?? []), service], options.env);
  const ctx = ctxOf();
  const operator = await ctx.db
    .transaction()
    .execute((tx) => createOperator(tx, ctx, { name: 'OP', acting }));
  const system = await ctx.db
    .selectFrom('account')
    .selectAll()
    .where('id', '=', operator.system_account_id)
    .executeTakeFirstOrThrow();
  const cluster = await startTestCluster({
    servers: 3,
    ...options,
    operatorJwt: operator.jwt,
    systemAccount: { publicKey: system.public_key, jwt: system.jwt },
  });
  const opened: (() => Promise<unknown>)[] = [];
  const connectAs = async (accountId: string, urls: string[], once = false) => {
    const signer = await ctx.db.transaction().execute((tx) => accountSigner(tx, ctx, accountId));
    const nc = await connectUser(signer, urls, once);
    opened.push(() => nc.close());
    return nc;
  };
  const hand = await connectAs(system.id, cluster.urls);
  // The servers find each other first: until then each is a cluster of its own.
  await eventually(
    async () => (await askAll(hand, '$SYS.REQ.SERVER.PING')).length === cluster.servers.length,
  );
  const clusterId = options.register === false ? '' : await registerCluster(ctx, operator.id, cluster.urls);
  const ground: SyncGround = {
    platform,
    ctx,
    operator,
    cluster,
    clusterId,
    ...accountsOf(ctx, operator.id, clusterId),
    events: async (type) =>
      (
        await platform.database.query<{ data: Record<string, unknown> }>(
          'select data from natsid.outbox where type = $1 order by sequence',
          [type],
        )
      ).map(({ data }) => data),
    async second(env = {}) {
      const other = captured();
      const running = await run([other.service], { env: { ...platform.env, ...env }, log: ctx.log });
      opened.push(() => running.stop());
      return { ...running, ctx: other.ctx() };
    },
    hand,
    ask: (subject, payload) => askAll(hand, subject, payload),
    stored: (publicKey) => askAll(hand, `$SYS.REQ.ACCOUNT.${publicKey}.CLAIMS.LOOKUP`),
    user: (accountId, url, { once } = {}) => connectAs(accountId, [url], once),
    operatorKey: () => ctx.db.transaction().execute((tx) => operatorSigner(tx, ctx, operator.id)),
    async close() {
      for (const end of opened.reverse()) await end();
      await platform.close();
      await cluster.close();
    },
  };
  return ground;
}

async function askAll(nc: NatsConnection, subject: string, payload = ''): Promise<string[]> {
  const answers = await nc.requestMany(subject, payload, { strategy: 'stall', maxWait: 2_000 });
  const found: string[] = [];
  for await (const answer of answers) found.push(answer.string());
  return found;
}

async function registerCluster(
  ctx: NatsIdentityContext,
  operator_id: string,
  servers: string[],
): Promise<string> {
  const { cluster } = await ctx.db
    .transaction()
    .execute((tx) => createClusterIn(tx, ctx, { name: 'C', operator_id, servers }));
  ctx.reconciler.poke();
  return cluster.id;
}

function accountsOf(ctx: NatsIdentityContext, operatorId: string, clusterId: string) {
  const syncRow = (id: string) =>
    ctx.db
      .selectFrom('account_sync')
      .selectAll()
      .where('account_id', '=', id)
      .where('cluster_id', '=', clusterId)
      .executeTakeFirstOrThrow();
  const add = async (name: string) => {
    const account = await ctx.db
      .transaction()
      .execute((tx) => createAccountIn(tx, ctx, { operatorId, tenantId: null, name, acting }));
    ctx.reconciler.poke();
    return account;
  };
  return {
    addAccount: (name = `a-${newId()}`) => add(name),
    async addAccounts(count: number) {
      const { public_key: _, ...one } = await add('template');
      const signer = await ctx.db.transaction().execute((tx) => operatorSigner(tx, ctx, operatorId));
      for (let begin = 0; begin < count; begin += 1_000)
        await insertMany(ctx, { one, signer, begin, end: Math.min(begin + 1_000, count), clusterId });
      ctx.reconciler.poke();
    },
    async change(id: string, description: string, by = ctx) {
      const changed = await by.db.transaction().execute(async (tx) => {
        const { claims } = await tx
          .selectFrom('account')
          .select('claims')
          .where('id', '=', id)
          .forUpdate()
          .executeTakeFirstOrThrow();
        await tx
          .updateTable('account')
          .set({ claims: JSON.stringify({ ...claims, description }) as never })
          .where('id', '=', id)
          .execute();
        return (await reissueAccount(tx, by, id)).account;
      });
      by.reconciler.poke();
      return changed;
    },
    syncRow,
    proven: (id: string, deadlineMs?: number) =>
      eventually(async () => {
        const row = await syncRow(id);
        if (Number(row.proven) !== Number(row.wanted) || row.state !== 'in_sync')
          throw new Error(`not proven: ${JSON.stringify(row)}`);
        return row;
      }, deadlineMs),
  };
}

async function insertMany(
  ctx: NatsIdentityContext,
  about: {
    readonly one: Omit<Selectable<AccountTable>, 'public_key'>;
    readonly signer: Nkey;
    readonly begin: number;
    readonly end: number;
    readonly clusterId: string;
  },
): Promise<void> {
  const { one, signer, begin, end, clusterId } = about;
  const rows = Array.from({ length: end - begin }, (_, index) => {
    const { publicKey } = createNkey('account');
    const name = `bulk-${begin + index}`;
    const jwt = encodeJwt(
      { sub: publicKey, name, iat: one.jwt_iat },
      { ...one.claims, type: 'account' },
      signer,
    );
    return { id: newId(), publicKey, name, jwt };
  });
  await ctx.pool.query(
    `with made as (
      insert into account (id, operator_id, name, public_key, claims, jwt, jwt_iat, jwt_sha256, issuer_key)
      select id, $2, name, "publicKey", $3::jsonb, jwt, $4, sha256(jwt::bytea), $5
      from jsonb_to_recordset($1::jsonb) as r(id uuid, name text, "publicKey" text, jwt text)
      returning id)
    insert into account_sync (cluster_id, account_id) select $6, id from made where $6::uuid is not null`,
    [JSON.stringify(rows), one.operator_id, one.claims, one.jwt_iat, one.issuer_key, clusterId || null],
  );
}

async function connectUser(
  { key, issuerAccount }: { readonly key: Nkey; readonly issuerAccount: string | undefined },
  servers: string[],
  once: boolean,
): Promise<NatsConnection> {
  const user = createNkey('user');
  const jwt = encodeJwt(
    { sub: user.publicKey, name: 'by hand', iat: Math.floor(Date.now() / 1000) },
    {
      type: 'user',
      subs: -1,
      data: -1,
      payload: -1,
      ...(issuerAccount && { issuer_account: issuerAccount }),
    },
    key,
  );
  const creds = Buffer.from(formatCreds({ jwt, seed: user.seed().toString() }));
  return connect({
    servers,
    authenticator: credsAuthenticator(creds),
    reconnect: !once,
    maxReconnectAttempts: once ? 0 : -1,
  });
}
