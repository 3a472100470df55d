import { append, newId, Problem, Uuid } from '@gatehouse/kit';
import { createNkey, isPublicKey, type Nkey, NkeyError, nkeyFromSeed } from '@gatehouse/nats-claims';
import type { OperatorTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { clusterCount } from '../account-jwt.ts';
import {
  acting,
  type ChangeCall,
  changeQuery,
  changeView,
  checkRevision,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { OperatorKeyText } from '../name.ts';
import { keepSeed } from '../secret.ts';
import { OperatorChanged } from './change-operator.ts';
import { invalidImport } from './operator-import.ts';
import { reissueOperator } from './operator-jwt.ts';
import { operatorView } from './operator-view.ts';
import { lockOperator } from './visible-operator.ts';

const Body = Type.Object({
  seed: Type.Optional(Type.String({ maxLength: 128, description: 'Of a key that exists; kept here.' })),
  public_key: Type.Optional(OperatorKeyText),
  ...reasonBody,
});

export const addOperatorKey = route({
  method: 'POST',
  path: '/api/nats/operators/:id/signing-keys',
  access: 'platform.manage',
  summary: 'Give an operator a signing key',
  description:
    'Without seed and public_key one is made. While the operator has clusters the key is `pending`: it signs nothing until every server trusts it, which takes the new operator JWT and a restart of each. With an offline root key it waits for a JWT that names it.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  status: 201,
  answer: OperatorChanged,
  problems: ['not_found', 'invalid_import', 'public_key_taken', 'precondition_failed'],
  run: (ctx) => async (call) => {
    const answer = await inChange(ctx, call.query, (tx) => add(tx, ctx, call));
    showRevision(call, answer.revision);
    return answer;
  },
});

type AddCall = ChangeCall & {
  readonly body: Static<typeof Body>;
  readonly query: { readonly dry_run?: 'true' | 'false' };
  readonly params: { readonly id: string };
};

async function add(tx: NatsidTransaction, ctx: NatsIdentityContext, call: AddCall) {
  const { body, query } = call;
  const before = await lockOperator(tx, call.params.id);
  checkRevision(call, before.revision);
  const { publicKey, key } = keyOf(body, before);
  const clusters = await clusterCount(tx, before.id);
  const offline = before.secret_id === null;
  await tx
    .insertInto('operator_key')
    .values({
      id: newId(),
      operator_id: before.id,
      public_key: publicKey,
      secret_id: key === undefined ? null : await keepSeed(tx, ctx, 'operator_signing', key),
      state: offline || clusters > 0 ? 'pending' : 'active',
    })
    .execute();
  const operator = offline ? await countUp(tx, before.id) : await reissueOperator(tx, ctx, before.id);
  const { by, traceparent } = acting(call, body.reason);
  const { id, name, public_key } = operator;
  await append(tx, {
    type: 'natsid.operator.key_added',
    tenant_id: null,
    aggregate: `operator:${id}`,
    traceparent,
    data: { ...by, id, name, public_key, key: publicKey },
  });
  return {
    ...(await operatorView(tx, operator, { dryRun: query.dry_run === 'true' })),
    change: changeView(query, [{ path: 'signing_keys', before: null, after: publicKey }], {
      clusters: offline ? 0 : clusters,
    }),
  };
}

function keyOf(
  { seed, public_key }: Static<typeof Body>,
  operator: Selectable<OperatorTable>,
): { readonly publicKey: string; readonly key: Nkey | undefined } {
  const refuse = (path: string, message: string) => invalidImport([{ path, message }]);
  if (seed !== undefined && public_key !== undefined)
    throw new Problem('invalid_request', { detail: 'Send seed or public_key, not both.' });
  if (public_key !== undefined && !isPublicKey(public_key, 'operator'))
    throw refuse('public_key', 'is no public key of an operator: its checksum is wrong.');
  const key = public_key === undefined ? keyFrom(seed, refuse) : undefined;
  const publicKey = public_key ?? key?.publicKey ?? '';
  if (publicKey === operator.public_key)
    throw refuse(seed === undefined ? 'public_key' : 'seed', 'is the operator’s root key.');
  return { publicKey, key };
}

function keyFrom(seed: string | undefined, refuse: (path: string, message: string) => Problem): Nkey {
  if (seed === undefined) return createNkey('operator');
  try {
    return nkeyFromSeed(seed, 'operator');
  } catch (error) {
    if (!(error instanceof NkeyError)) throw error;
    throw refuse('seed', `is not the seed of an operator key: ${error.message}.`);
  }
}

/** Counts an operator's revision up without a new JWT. */
export const countUp = (tx: NatsidTransaction, id: string): Promise<Selectable<OperatorTable>> =>
  tx
    .updateTable('operator')
    .set({ revision: sql<number>`revision + 1`, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
