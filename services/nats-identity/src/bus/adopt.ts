import { existsSync, readFileSync, rmSync } from 'node:fs';
import { append, newId } from '@gatehouse/kit';
import { decodeJwt, jwtHash, nkeyFromSeed, type PlatformBus, readPlatformBus } from '@gatehouse/nats-claims';
import type { AccountTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import { createAccountIn } from '../account/create-account.ts';
import { platformActs } from '../change.ts';
import { createClusterIn } from '../cluster/create-cluster.ts';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { createOperator } from '../operator/create-operator.ts';
import { keepSeed } from '../secret.ts';
import { busAddresses } from './bus-address.ts';

/**
 * Takes over the platform's own bus from the file that NATS_BUS_BUNDLE names: its operator, accounts, roles, users and
 * the cluster, with the JWTs that the server has byte for byte, in one transaction. Then the file goes, and the private
 * keys are nowhere but in the database. Whoever is killed in between takes it over at the next start; of several
 * instances one does. A file that cannot be read is told of: the platform serves without owning its bus.
 */
export async function adoptBus(ctx: NatsIdentityContext): Promise<void> {
  const file = ctx.config.NATS_BUS_BUNDLE;
  if (file === undefined || !existsSync(file)) return;
  const bus = readBundle(ctx, file);
  if (bus === undefined) return;
  const adopted = await ctx.db.transaction().execute((tx) => adoptIn(tx, ctx, bus));
  if (adopted) {
    ctx.relay.poke();
    ctx.reconciler.poke();
    ctx.log.info({ operator: adopted }, 'the platform’s own bus is taken over');
  }
  try {
    rmSync(file, { force: true });
  } catch (err) {
    ctx.log.warn({ err, file }, 'NATS_BUS_BUNDLE is taken over and cannot be removed: remove it');
  }
}

function readBundle(ctx: NatsIdentityContext, file: string): PlatformBus | undefined {
  try {
    return readPlatformBus(readFileSync(file, 'utf8'));
  } catch (err) {
    // Another instance may just have taken it over.
    if (existsSync(file)) ctx.log.error({ err, file }, 'NATS_BUS_BUNDLE cannot be read: the bus is nobody’s');
    return undefined;
  }
}

/** Everything of the bus; returns the operator's public key, or undefined when it is here already. */
async function adoptIn(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  bus: PlatformBus,
): Promise<string | undefined> {
  await sql`select pg_advisory_xact_lock(hashtextextended('gatehouse.natsid.bus', 0))`.execute(tx);
  const { sub: publicKey } = decodeJwt(bus.operator.jwt);
  const known = await tx
    .selectFrom('operator')
    .select('id')
    .where('public_key', '=', publicKey)
    .executeTakeFirst();
  if (known !== undefined) return undefined;
  await giveUpFormer(tx, ctx);
  const operator = await createOperator(tx, ctx, {
    name: await freeName(tx, 'operator', bus.operator.name, publicKey),
    own: true,
    openToTenants: true,
    import: {
      jwt: bus.operator.jwt,
      rootSeed: bus.operator.seed,
      signingSeeds: [bus.operator.signing_seed],
    },
    acting: platformActs,
  });
  const account = { operatorId: operator.id, tenantId: null, acting: platformActs };
  const { system_account: system, account: platform } = bus;
  await createAccountIn(tx, ctx, {
    ...account,
    name: system.name,
    kind: 'system',
    import: { jwt: system.jwt, seed: system.seed, signingSeeds: [system.signing_seed] },
  });
  const own = await createAccountIn(tx, ctx, {
    ...account,
    name: platform.name,
    kind: 'platform',
    import: { jwt: platform.jwt, seed: platform.seed, signingSeeds: platform.roles.map(({ seed }) => seed) },
  });
  for (const user of platform.users) await adoptUser(tx, ctx, own, user);
  await adoptCluster(tx, ctx, operator.id, publicKey);
  return publicKey;
}

/** The database outlived another bus: that one stays managed, as any other operator. */
async function giveUpFormer(tx: NatsidTransaction, ctx: NatsIdentityContext): Promise<void> {
  const former = await tx
    .updateTable('operator')
    .set({ own: false, revision: sql`revision + 1` })
    .where('own', '=', true)
    .returning('name')
    .executeTakeFirst();
  if (former === undefined) return;
  await tx.updateTable('cluster').set({ own: false }).where('own', '=', true).execute();
  ctx.log.warn({ operator: former.name }, 'another bus is the platform’s own from now on');
}

async function freeName(
  tx: NatsidTransaction,
  table: 'operator' | 'cluster',
  name: string,
  publicKey: string,
): Promise<string> {
  const taken = await tx
    .selectFrom(table)
    .select('id')
    .where(sql`lower(name)`, '=', name.toLowerCase())
    .executeTakeFirst();
  return taken === undefined ? name : `${name} ${publicKey.slice(0, 8)}`;
}

async function adoptUser(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  account: Selectable<AccountTable>,
  user: PlatformBus['account']['users'][number],
): Promise<void> {
  const key = nkeyFromSeed(user.seed, 'user');
  const jwt = decodeJwt(user.jwt);
  const role = await tx
    .selectFrom('account_key')
    .select('id')
    .where('account_id', '=', account.id)
    .where('public_key', '=', jwt.iss)
    .executeTakeFirstOrThrow();
  const [id, credentialId] = [newId(), newId()];
  await tx
    .insertInto('nats_user')
    .values({
      id,
      account_id: account.id,
      name: user.name,
      public_key: key.publicKey,
      secret_id: await keepSeed(tx, ctx, 'user', key),
      role_id: role.id,
      claims: {},
      ttl_seconds: null,
    })
    .execute();
  await tx
    .insertInto('credential')
    .values({
      id: credentialId,
      user_id: id,
      account_id: account.id,
      public_key: key.publicKey,
      issuer_key: jwt.iss,
      jti: jwt.jti,
      jwt_sha256: jwtHash(user.jwt),
      iat: jwt.iat,
      expires_at: null,
      issued_by: null,
    })
    .execute();
  const about = { tenant_id: null, aggregate: `user:${id}`, traceparent: null };
  await append(tx, {
    type: 'natsid.user.created',
    ...about,
    data: { ...platformActs.by, id, name: user.name, public_key: key.publicKey, account_id: account.id },
  });
  await append(tx, {
    type: 'natsid.credentials.issued',
    ...about,
    data: {
      ...platformActs.by,
      account_id: account.id,
      account_key: account.public_key,
      nats_user_id: id,
      nats_user: user.name,
      credential_id: credentialId,
      public_key: key.publicKey,
      bearer: false,
      expires_at: null,
    },
  });
}

async function adoptCluster(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  operatorId: string,
  publicKey: string,
): Promise<void> {
  const { cluster } = await createClusterIn(tx, ctx, {
    name: await freeName(tx, 'cluster', 'bus', publicKey),
    operator_id: operatorId,
    servers: busAddresses(ctx.config.NATS_URL),
    description: 'The platform’s own bus.',
    own: true,
  });
  await append(tx, {
    type: 'natsid.cluster.created',
    tenant_id: null,
    aggregate: `cluster:${cluster.id}`,
    traceparent: null,
    data: { ...platformActs.by, cluster_id: cluster.id, cluster: cluster.name, operator_id: operatorId },
  });
}
