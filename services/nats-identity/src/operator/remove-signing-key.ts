import { append, Problem, Uuid } from '@gatehouse/kit';
import type { OperatorKeyTable, OperatorTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
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
  showRevision,
} from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { OperatorKeyText } from '../name.ts';
import { countUp } from './add-signing-key.ts';
import { OperatorChanged } from './change-operator.ts';
import { isStrict, reissueOperator, rootOffline } from './operator-jwt.ts';
import { operatorView } from './operator-view.ts';
import { dropKey, namedIn, retireKeys } from './retire-keys.ts';
import { lockOperator, readOperator } from './visible-operator.ts';

/** Accounts that the request itself signs anew; of more the rest follows in the background. */
const AT_ONCE = 100;

export const removeOperatorKey = route({
  method: 'DELETE',
  path: '/api/nats/operators/:id/signing-keys/:public_key',
  access: 'platform.manage',
  summary: 'Take a signing key from an operator',
  description:
    'It signs no more at once. Every account that it signed is signed anew with the newest active key; when all of them are proven on every server it leaves the operator’s JWT. Until then it is shown as `retiring`. With an offline root key it stays so until a JWT without it is PUT.',
  params: Type.Object({ id: Uuid, public_key: OperatorKeyText }),
  query: Type.Object({ ...changeQuery, ...reasonQuery }, { additionalProperties: false }),
  answer: OperatorChanged,
  problems: ['not_found', 'key_in_use', 'no_signing_key', 'account_jwt_too_large', 'precondition_failed'],
  run: (ctx) => async (call) => {
    const answer = await inChange(ctx, call.query, (tx) => retire(tx, ctx, call));
    if (call.query.dry_run === 'true') return answer;
    await retireKeys(ctx, { accounts: AT_ONCE, operatorId: answer.id });
    ctx.relay.poke();
    const operator = await readOperator(ctx, call.principal, answer.id);
    showRevision(call, operator.revision);
    return { ...(await operatorView(ctx.db, operator)), change: answer.change };
  },
});

type RemoveCall = ChangeCall & {
  readonly query: { readonly dry_run?: 'true' | 'false'; readonly reason?: string };
  readonly params: { readonly id: string; readonly public_key: string };
};

async function retire(tx: NatsidTransaction, ctx: NatsIdentityContext, call: RemoveCall) {
  const { query } = call;
  const before = await lockOperator(tx, call.params.id);
  checkRevision(call, before.revision);
  // Waits for whoever signs with it at this moment: what they signed is counted below.
  const key = await tx
    .selectFrom('operator_key')
    .selectAll()
    .where('operator_id', '=', before.id)
    .where('public_key', '=', call.params.public_key)
    .forUpdate()
    .executeTakeFirst();
  if (key === undefined) throw new Problem('not_found');
  const accounts = await signedBy(tx, key.public_key);
  if (!(await canSignWithout(tx, before, key)) && (accounts > 0 || key.state === 'active'))
    throw new Problem('key_in_use', {
      detail: 'It is the last key that signs accounts: give the operator another active one first.',
    });
  const operator = await takeOut(tx, ctx, before, { key, accounts });
  const { by, traceparent } = acting(call, query.reason);
  const told = {
    ...by,
    id: before.id,
    name: before.name,
    public_key: before.public_key,
    key: key.public_key,
  };
  const event = { tenant_id: null, aggregate: `operator:${before.id}`, traceparent };
  if (operator.gone) await append(tx, { ...event, type: 'natsid.operator.key_removed', data: told });
  else if (key.state !== 'retiring')
    await append(tx, { ...event, type: 'natsid.operator.key_retiring', data: { ...told, accounts } });
  return {
    ...(await operatorView(tx, operator.row, { dryRun: query.dry_run === 'true' })),
    change: changeView(query, [{ path: 'signing_keys', before: key.public_key, after: null }], {
      accounts,
      clusters: await clusterCount(tx, before.id),
    }),
  };
}

/** A key that has signed nothing goes at once; any other retires. */
async function takeOut(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  operator: Selectable<OperatorTable>,
  { key, accounts }: { readonly key: Selectable<OperatorKeyTable>; readonly accounts: number },
): Promise<{ readonly gone: boolean; readonly row: Selectable<OperatorTable> }> {
  const named = namedIn(operator.jwt).includes(key.public_key);
  const offline = operator.secret_id === null;
  if (accounts === 0 && key.state !== 'retiring' && !(named && offline)) {
    await dropKey(tx, key);
    return {
      gone: true,
      row: await (named ? reissueOperator(tx, ctx, operator.id) : countUp(tx, operator.id)),
    };
  }
  if (accounts === 0 && named && offline && key.state === 'pending') throw rootOffline();
  await tx.updateTable('operator_key').set({ state: 'retiring' }).where('id', '=', key.id).execute();
  return { gone: false, row: await countUp(tx, operator.id) };
}

/** Accounts whose JWT this key has signed. */
export async function signedBy(tx: NatsidTransaction, publicKey: string): Promise<number> {
  const { count } = await tx
    .selectFrom('account')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('issuer_key', '=', publicKey)
    .where('state', '<>', 'deleted')
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** Whether accounts can be signed when this key signs no more. */
export async function canSignWithout(
  tx: NatsidTransaction,
  operator: Selectable<OperatorTable>,
  key: Pick<Selectable<OperatorKeyTable>, 'public_key'>,
): Promise<boolean> {
  if (operator.secret_id !== null && !isStrict(operator)) return true;
  const other = await tx
    .selectFrom('operator_key')
    .select('id')
    .where('operator_id', '=', operator.id)
    .where('public_key', '<>', key.public_key)
    .where('state', '=', 'active')
    .where('secret_id', 'is not', null)
    .limit(1)
    .executeTakeFirst();
  return other !== undefined;
}
