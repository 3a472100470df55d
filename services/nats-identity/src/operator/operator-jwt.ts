import { Problem } from '@gatehouse/kit';
import { encodeJwt, type Nkey, nextIat } from '@gatehouse/nats-claims';
import type { JsonObject, OperatorTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { readSeed } from '../secret.ts';

type Operator = Selectable<OperatorTable>;

/** What an operator's `nats` section has that the database keeps elsewhere than in `claims`. */
export const operatorOwnFields = new Set(['signing_keys', 'system_account', 'type', 'version']);

/** The `nats` section of an operator's JWT with what the database holds now. */
export async function operatorNats(tx: NatsidTransaction, operator: Operator): Promise<JsonObject> {
  const keys = await tx
    .selectFrom('operator_key')
    .select('public_key')
    .where('operator_id', '=', operator.id)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const system =
    operator.system_account_id === null
      ? undefined
      : await tx
          .selectFrom('account')
          .select('public_key')
          .where('id', '=', operator.system_account_id)
          .executeTakeFirstOrThrow();
  return {
    ...operator.claims,
    ...(keys.length > 0 && { signing_keys: keys.map(({ public_key }) => public_key) }),
    // Of an imported operator whose system account is not here, `claims` names it.
    ...(system !== undefined && { system_account: system.public_key }),
    type: 'operator',
    version: 2,
  };
}

/** Signs an operator's JWT, which its root key alone can. */
export function signOperator(
  operator: { readonly name: string; readonly iat: number },
  nats: JsonObject,
  root: Nkey,
): string {
  return encodeJwt({ sub: root.publicKey, name: operator.name, iat: operator.iat }, nats, root);
}

/**
 * Makes the operator's JWT anew from what the database holds now, and counts its revision up. Servers read it at their
 * start only (nats-protocol, fact 6).
 * @throws Problem `no_signing_key` when the root key is offline: then the JWT comes from outside
 */
export async function reissueOperator(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  operatorId: string,
): Promise<Operator> {
  const { now, ...operator } = await tx
    .selectFrom('operator')
    .selectAll()
    .select(sql<number>`floor(extract(epoch from clock_timestamp()))::bigint`.as('now'))
    .where('id', '=', operatorId)
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow();
  if (operator.secret_id === null) throw rootOffline();
  const root = await readSeed(tx, ctx, operator.secret_id);
  const iat = nextIat(operator.jwt_iat, now);
  const jwt = signOperator({ name: operator.name, iat }, await operatorNats(tx, operator), root);
  return tx
    .updateTable('operator')
    .set({ jwt, jwt_iat: iat, revision: sql<number>`revision + 1`, updated_at: sql<Date>`now()` })
    .where('id', '=', operatorId)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Why an operator whose root key is elsewhere cannot be changed here. */
export const rootOffline = (): Problem =>
  new Problem('no_signing_key', {
    detail:
      'The root key of this operator is offline: make its new JWT where the key is, and PUT it to /api/nats/operators/:id/jwt.',
  });

/** Whether an operator's JWT binds accounts and users to signing keys. */
export const isStrict = (operator: Pick<Operator, 'claims'>): boolean =>
  operator.claims.strict_signing_key_usage === true;

/** Signing keys that a JWT names. */
export const namedKeys = (nats: JsonObject): string[] =>
  Array.isArray(nats.signing_keys)
    ? nats.signing_keys.filter((key): key is string => typeof key === 'string')
    : [];
