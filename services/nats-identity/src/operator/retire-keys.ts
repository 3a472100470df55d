import { append } from '@gatehouse/kit';
import { sql } from 'kysely';
import { operatorSigner, reissueAccount } from '../account-jwt.ts';
import { platformActs } from '../change.ts';
import type { NatsIdentityContext, NatsIdentityJob, NatsidTransaction } from '../context.ts';
import { namedKeys, reissueOperator } from './operator-jwt.ts';
import { lockOperator } from './visible-operator.ts';

/** Accounts that one transaction signs anew: it holds their locks for as long. */
const BATCH = 50;

/** How much one call may do; the rest is the job's. */
export interface Share {
  readonly accounts: number;
  readonly operatorId?: string;
}

/**
 * Signs anew what retiring keys of operators have signed, and lets each key go when nothing needs it any more. Where it
 * stands is in the rows alone (the key's state, the accounts' issuer): it goes on after any crash.
 */
export async function retireKeys(ctx: NatsIdentityContext, share: Share): Promise<void> {
  const keys = await ctx.db
    .selectFrom('operator_key')
    .select(['id', 'operator_id', 'public_key'])
    .where('state', '=', 'retiring')
    .$if(share.operatorId !== undefined, (some) => some.where('operator_id', '=', share.operatorId ?? ''))
    .orderBy('id')
    .execute();
  let left = share.accounts;
  for (const key of keys) {
    const signed = await resignAccounts(ctx, key, left);
    left -= signed;
    if (left <= 0) return;
    await ctx.db.transaction().execute((tx) => letGo(tx, ctx, key));
  }
}

/** Whose accounts to sign anew: those of an operator that this key has signed. */
export interface Signed {
  readonly operator_id: string;
  readonly public_key: string;
}

/**
 * Signs up to `most` accounts anew that a key has signed, with the operator's newest active key, in batches of their own
 * transactions. How many there were. Several processes may do it at once: each takes what no other has locked.
 * @throws Problem `no_signing_key`
 */
export async function resignAccounts(
  ctx: NatsIdentityContext,
  { operator_id, public_key }: Signed,
  most: number,
): Promise<number> {
  let signed = 0;
  while (signed < most) {
    const batch = await ctx.db.transaction().execute(async (tx) => {
      const accounts = await tx
        .selectFrom('account')
        .select('id')
        .where('issuer_key', '=', public_key)
        .where('state', '<>', 'deleted')
        .orderBy('id')
        .limit(Math.min(BATCH, most - signed))
        .forUpdate()
        .skipLocked()
        .execute();
      if (accounts.length === 0) return 0;
      const signer = await operatorSigner(tx, ctx, operator_id);
      for (const { id } of accounts) await reissueAccount(tx, ctx, id, { signer });
      return accounts.length;
    });
    if (batch === 0) break;
    signed += batch;
    ctx.reconciler.poke();
  }
  return signed;
}

interface RetiringKey extends Signed {
  readonly id: string;
}

/** Takes a key out of the operator when no account needs it, and every server is proven to have the accounts' new JWTs. */
async function letGo(tx: NatsidTransaction, ctx: NatsIdentityContext, key: RetiringKey): Promise<void> {
  const operator = await lockOperator(tx, key.operator_id);
  if (await isNeeded(tx, key)) return;
  const named = namedIn(operator.jwt).includes(key.public_key);
  // Only the root key takes it out of the JWT; until a JWT without it is PUT, servers trust it.
  if (named && operator.secret_id === null) return;
  await dropKey(tx, key);
  if (named) await reissueOperator(tx, ctx, operator.id);
  await append(tx, {
    type: 'natsid.operator.key_removed',
    tenant_id: null,
    aggregate: `operator:${operator.id}`,
    traceparent: null,
    data: {
      ...platformActs.by,
      id: operator.id,
      name: operator.name,
      public_key: operator.public_key,
      key: key.public_key,
    },
  });
}

async function isNeeded(tx: NatsidTransaction, key: RetiringKey): Promise<boolean> {
  const { rows } = await sql<{ needed: boolean }>`
    select not exists (select from operator_key where id = ${key.id} and state = 'retiring')
      or exists (select from account where issuer_key = ${key.public_key} and state <> 'deleted')
      or exists (
        select from account_sync s join account a on a.id = s.account_id
        where a.operator_id = ${key.operator_id} and a.state <> 'deleted' and s.proven < s.wanted) as needed`.execute(
    tx,
  );
  return rows[0]?.needed !== false;
}

/** Removes the row of a signing key, and its seed. */
export async function dropKey(tx: NatsidTransaction, { id }: Pick<RetiringKey, 'id'>): Promise<void> {
  const { secret_id } = await tx
    .deleteFrom('operator_key')
    .where('id', '=', id)
    .returning('secret_id')
    .executeTakeFirstOrThrow();
  if (secret_id !== null) await tx.deleteFrom('secret').where('id', '=', secret_id).execute();
}

/** Signing keys that a stored operator JWT names; ours or checked when it came, so it is only read. */
export function namedIn(jwt: string): string[] {
  const body = Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8');
  return namedKeys((JSON.parse(body) as { nats: Record<string, unknown> }).nats);
}

/** Accounts that one run signs anew, about half a minute's worth. */
const RUN_ACCOUNTS = 2_000;

export const retireOperatorKeys: NatsIdentityJob = {
  name: 'retire-operator-keys',
  everySeconds: 5,
  // Not `one`: that holds a connection all the while, which batches of many accounts would keep idle for too long.
  instances: 'each',
  run: (ctx) => retireKeys(ctx, { accounts: RUN_ACCOUNTS }),
};
