import { append, newId, Problem, Uuid } from '@gatehouse/kit';
import type { DecodedJwt } from '@gatehouse/nats-claims';
import type { JsonObject, OperatorKeyTable, OperatorTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { systemAccountKey } from '../account/system-account.ts';
import { clusterCount } from '../account-jwt.ts';
import {
  type Acting,
  acting,
  type ChangeCall,
  changeQuery,
  changeView,
  checkRevision,
  diffOf,
  inChange,
  reasonBody,
  showRevision,
  toldChanges,
} from '../change.ts';
import { type NatsidTransaction, route } from '../context.ts';
import { OperatorChanged } from './change-operator.ts';
import { invalidImport, readOperatorJwt } from './operator-import.ts';
import { isStrict, namedKeys, operatorOwnFields } from './operator-jwt.ts';
import { operatorView } from './operator-view.ts';
import { signedBy } from './remove-signing-key.ts';
import { dropKey, namedIn } from './retire-keys.ts';
import { refuseWhileIdentityKeysSign } from './strictness.ts';
import { lockOperator } from './visible-operator.ts';

const Body = Type.Object({ jwt: Type.String({ minLength: 1, maxLength: 262_144 }), ...reasonBody });

export const putOperatorJwt = route({
  method: 'PUT',
  path: '/api/nats/operators/:id/jwt',
  access: 'platform.manage',
  summary: 'Give an operator the JWT that its offline root key has signed',
  description:
    'It must be of the same operator and newer than the one that is there. Signing keys that it names are added, and sign (when their seeds are here) once every server trusts them; those that it leaves out retire: what they signed is signed anew. Bring it to servers when no key is `retiring` any more.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  bodyBytesMax: 512 * 1024,
  answer: OperatorChanged,
  problems: ['not_found', 'invalid_import', 'public_key_taken', 'key_in_use', 'precondition_failed'],
  run: (ctx) => async (call) => {
    const answer = await inChange(ctx, call.query, (tx) => put(tx, call));
    showRevision(call, answer.revision);
    return answer;
  },
});

type PutCall = ChangeCall & {
  readonly body: Static<typeof Body>;
  readonly query: { readonly dry_run?: 'true' | 'false' };
  readonly params: { readonly id: string };
};

async function put(tx: NatsidTransaction, call: PutCall) {
  const { body, query } = call;
  const decoded = readOperatorJwt(body.jwt, 'jwt');
  const before = await lockOperator(tx, call.params.id);
  checkRevision(call, before.revision);
  await checkSuccessor(tx, before, decoded);
  const claims = claimsOf(decoded, before);
  if (isStrict({ claims }) && !isStrict(before)) await refuseWhileIdentityKeysSign(tx, before);
  const diff = [
    ...diffOf(before.claims, claims),
    ...diffOf({ signing_keys: namedIn(before.jwt) }, { signing_keys: namedKeys(decoded.nats) }),
  ];
  const operator = await tx
    .updateTable('operator')
    .set({
      claims,
      jwt: body.jwt.trim(),
      jwt_iat: decoded.iat,
      revision: sql<number>`revision + 1`,
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', before.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  const by = acting(call, body.reason);
  const retiring = await reconcileKeys(tx, { before, after: operator, by });
  const { id, name, public_key } = operator;
  await append(tx, {
    type: 'natsid.operator.changed',
    tenant_id: null,
    aggregate: `operator:${id}`,
    traceparent: by.traceparent,
    data: { ...by.by, id, name, public_key, changes: toldChanges(diff) },
  });
  return {
    ...(await operatorView(tx, operator)),
    change: changeView(query, diff, { accounts: retiring, clusters: await clusterCount(tx, id) }),
  };
}

async function checkSuccessor(
  tx: NatsidTransaction,
  before: Selectable<OperatorTable>,
  { sub, iat, nats }: DecodedJwt,
): Promise<void> {
  const refuse = (message: string) => invalidImport([{ path: 'jwt', message }]);
  if (sub !== before.public_key) throw refuse('is of another operator.');
  if (iat <= before.jwt_iat) throw refuse('is not newer than the one that is there (iat).');
  const system = await systemAccountKey(tx, before);
  if (system !== undefined && nats.system_account !== system)
    throw refuse('does not name the operator’s system account.');
}

function claimsOf({ nats }: DecodedJwt, before: Selectable<OperatorTable>): JsonObject {
  return Object.fromEntries(
    Object.entries(nats).filter(
      ([key]) =>
        !operatorOwnFields.has(key) || (key === 'system_account' && before.system_account_id === null),
    ),
  );
}

interface Reconciled {
  readonly before: Selectable<OperatorTable>;
  readonly after: Selectable<OperatorTable>;
  readonly by: Acting;
}

/** Makes the rows say what the JWT says; returns how many accounts must be signed anew. */
async function reconcileKeys(tx: NatsidTransaction, { before, after, by }: Reconciled): Promise<number> {
  const [was, is] = [new Set(namedIn(before.jwt)), new Set(namedIn(after.jwt))];
  // Waits for whoever signs with them at this moment.
  const rows = await tx
    .selectFrom('operator_key')
    .selectAll()
    .where('operator_id', '=', after.id)
    .forUpdate()
    .execute();
  const known = new Set(rows.map(({ public_key }) => public_key));
  const state = (await clusterCount(tx, after.id)) > 0 ? ('pending' as const) : ('active' as const);
  for (const public_key of is)
    if (!known.has(public_key)) {
      await tx
        .insertInto('operator_key')
        .values({ id: newId(), operator_id: after.id, public_key, secret_id: null, state })
        .execute();
      await tellKey(tx, after, by, { type: 'natsid.operator.key_added', key: public_key });
    }
  for (const { id, public_key, state: now } of rows)
    if (is.has(public_key) && now === 'pending' && state === 'active')
      await tx.updateTable('operator_key').set({ state }).where('id', '=', id).execute();
  // One that no JWT has named yet goes on waiting for one that does.
  const left = rows.filter(({ public_key }) => was.has(public_key) && !is.has(public_key));
  return leave(tx, after, by, left);
}

async function leave(
  tx: NatsidTransaction,
  operator: Selectable<OperatorTable>,
  by: Acting,
  keys: readonly Selectable<OperatorKeyTable>[],
): Promise<number> {
  let accounts = 0;
  for (const key of keys) {
    const signed = await signedBy(tx, key.public_key);
    accounts += signed;
    if (signed === 0) {
      await dropKey(tx, key);
      await tellKey(tx, operator, by, { type: 'natsid.operator.key_removed', key: key.public_key });
      continue;
    }
    await tx.updateTable('operator_key').set({ state: 'retiring' }).where('id', '=', key.id).execute();
    await tellKey(tx, operator, by, {
      type: 'natsid.operator.key_retiring',
      key: key.public_key,
      accounts: signed,
    });
  }
  if (accounts > 0 && !(await hasSigner(tx, operator)))
    throw new Problem('key_in_use', {
      detail: 'The JWT leaves out the last key that signs accounts here: add another first.',
    });
  return accounts;
}

async function hasSigner(tx: NatsidTransaction, operator: Selectable<OperatorTable>): Promise<boolean> {
  if (operator.secret_id !== null && !isStrict(operator)) return true;
  const active = await tx
    .selectFrom('operator_key')
    .select('id')
    .where('operator_id', '=', operator.id)
    .where('state', '=', 'active')
    .where('secret_id', 'is not', null)
    .limit(1)
    .executeTakeFirst();
  return active !== undefined;
}

type KeyNews =
  | { readonly type: 'natsid.operator.key_added' | 'natsid.operator.key_removed'; readonly key: string }
  | { readonly type: 'natsid.operator.key_retiring'; readonly key: string; readonly accounts: number };

async function tellKey(
  tx: NatsidTransaction,
  { id, name, public_key }: Selectable<OperatorTable>,
  { by, traceparent }: Acting,
  news: KeyNews,
): Promise<void> {
  const event = { tenant_id: null, aggregate: `operator:${id}`, traceparent };
  const data = { ...by, id, name, public_key, key: news.key };
  if (news.type === 'natsid.operator.key_retiring')
    await append(tx, { ...event, type: news.type, data: { ...data, accounts: news.accounts } });
  else await append(tx, { ...event, type: news.type, data });
}
