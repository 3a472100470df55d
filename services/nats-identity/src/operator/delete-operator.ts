import { append, Problem, Uuid } from '@gatehouse/kit';
import type { OperatorTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type from 'typebox';
import { clusterCount } from '../account-jwt.ts';
import {
  acting,
  type ChangeCall,
  changeQuery,
  changeView,
  checkRevision,
  inChange,
  reasonQuery,
} from '../change.ts';
import { type NatsidTransaction, route } from '../context.ts';
import { OperatorChanged } from './change-operator.ts';
import { operatorView } from './operator-view.ts';

export const deleteOperator = route({
  method: 'DELETE',
  path: '/api/nats/operators/:id',
  access: 'platform.manage',
  summary: 'Delete an operator',
  description:
    'Only one without clusters, and without accounts besides its system account. Its keys are gone for good: export them first.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object({ ...changeQuery, ...reasonQuery }, { additionalProperties: false }),
  answer: OperatorChanged,
  problems: ['not_found', 'conflict', 'precondition_failed'],
  run: (ctx) => async (call) => inChange(ctx, call.query, (tx) => remove(tx, call)),
});

type DeleteCall = ChangeCall & {
  readonly query: { readonly dry_run?: 'true' | 'false'; readonly reason?: string };
  readonly params: { readonly id: string };
};

async function remove(tx: NatsidTransaction, call: DeleteCall) {
  // Whoever makes an account or a cluster of it holds the row's key, and is waited for.
  const operator = await tx
    .selectFrom('operator')
    .selectAll()
    .where('id', '=', call.params.id.toLowerCase())
    .forUpdate()
    .executeTakeFirst();
  if (operator === undefined) throw new Problem('not_found');
  checkRevision(call, operator.revision);
  await refuseWhileInUse(tx, operator);
  const shown = await operatorView(tx, operator);
  await erase(tx, operator);
  const { by, traceparent } = acting(call, call.query.reason);
  const { id, name, public_key } = operator;
  await append(tx, {
    type: 'natsid.operator.deleted',
    tenant_id: null,
    aggregate: `operator:${id}`,
    traceparent,
    data: { ...by, id, name, public_key },
  });
  return { ...shown, change: changeView(call.query, [], { accounts: 1 }) };
}

async function refuseWhileInUse(tx: NatsidTransaction, operator: Selectable<OperatorTable>): Promise<void> {
  const refuse = (detail: string) => new Problem('conflict', { detail });
  if (operator.own) throw refuse('It is the operator of the platform’s own bus.');
  const clusters = await clusterCount(tx, operator.id);
  if (clusters > 0) throw refuse(`It has ${clusters} clusters: take them out first.`);
  const { count } = await tx
    .selectFrom('account')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('operator_id', '=', operator.id)
    .where('kind', '<>', 'system')
    .where('state', '<>', 'deleted')
    .executeTakeFirstOrThrow();
  if (Number(count) > 0) throw refuse(`It has ${count} accounts: delete them first.`);
}

/** Everything of it goes, its seeds first of all; tombstones have no cluster left to watch. */
async function erase(tx: NatsidTransaction, { id }: Selectable<OperatorTable>): Promise<void> {
  const { rows } = await sql<{ id: string }>`
    with own_account as (select id, secret_id from account where operator_id = ${id})
    select secret_id as id from operator where id = ${id} and secret_id is not null
    union all select secret_id from operator_key where operator_id = ${id} and secret_id is not null
    union all select secret_id from own_account where secret_id is not null
    union all select k.secret_id from account_key k join own_account a on a.id = k.account_id where k.secret_id is not null
    union all select u.secret_id from nats_user u join own_account a on a.id = u.account_id where u.secret_id is not null
  `.execute(tx);
  await tx.updateTable('operator').set({ system_account_id: null }).where('id', '=', id).execute();
  await tx.deleteFrom('account').where('operator_id', '=', id).execute();
  await tx.deleteFrom('operator').where('id', '=', id).execute();
  if (rows.length > 0)
    await sql`delete from secret where id = any(${rows.map((row) => row.id)}::uuid[])`.execute(tx);
}
