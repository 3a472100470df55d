import { append, Uuid } from '@gatehouse/kit';
import type { JsonObject, OperatorTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { clusterCount } from '../account-jwt.ts';
import {
  acting,
  type ChangeCall,
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  diffOf,
  inChange,
  mergePatch,
  reasonBody,
  showRevision,
  toldChanges,
} from '../change.ts';
import { ClaimsPatch } from '../claim-check.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { NameText } from '../name.ts';
import { checkedOperatorClaims } from './create-operator.ts';
import { isStrict, reissueOperator } from './operator-jwt.ts';
import { OperatorView, operatorView } from './operator-view.ts';
import { refuseWhileIdentityKeysSign } from './strictness.ts';
import { lockOperator } from './visible-operator.ts';

const Body = Type.Object(
  {
    name: Type.Optional(NameText),
    claims: Type.Optional(ClaimsPatch),
    open_to_tenants: Type.Optional(Type.Boolean()),
    ...reasonBody,
  },
  { minProperties: 1 },
);

/** What a change of an operator answers with. */
export const OperatorChanged = Type.Object({ ...OperatorView.properties, change: ChangeView });

export const changeOperator = route({
  method: 'PATCH',
  path: '/api/nats/operators/:id',
  access: 'platform.manage',
  summary: 'Change an operator',
  description:
    'Its JWT is made anew; servers read it at their start only, so every server must get it and be restarted. With an offline root key only `open_to_tenants` can be changed here.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  answer: OperatorChanged,
  problems: [
    'invalid_claims',
    'not_found',
    'name_taken',
    'key_in_use',
    'no_signing_key',
    'precondition_failed',
  ],
  run: (ctx) => async (call) => {
    const answer = await inChange(ctx, call.query, (tx) => change(tx, ctx, call));
    showRevision(call, answer.revision);
    return answer;
  },
});

type PatchCall = ChangeCall & {
  readonly body: Static<typeof Body>;
  readonly query: { readonly dry_run?: 'true' | 'false' };
  readonly params: { readonly id: string };
};

async function change(tx: NatsidTransaction, ctx: NatsIdentityContext, call: PatchCall) {
  const { body, query } = call;
  const before = await lockOperator(tx, call.params.id);
  checkRevision(call, before.revision);
  const after = wantedOf(body, before);
  const signed = [
    ...diffOf(before.claims, after.claims),
    ...diffOf({ name: before.name }, { name: after.name }),
  ];
  const diff = [
    ...signed,
    ...diffOf({ open_to_tenants: before.open_to_tenants }, { open_to_tenants: after.open_to_tenants }),
  ];
  if (diff.length === 0) return { ...(await operatorView(tx, before)), change: changeView(query) };
  if (isStrict(after) && !isStrict(before)) await refuseWhileIdentityKeysSign(tx, before);
  const stored = await tx
    .updateTable('operator')
    .set({
      ...after,
      updated_at: sql<Date>`now()`,
      ...(signed.length === 0 && { revision: sql<number>`revision + 1` }),
    })
    .where('id', '=', before.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  const operator = signed.length === 0 ? stored : await reissueOperator(tx, ctx, before.id);
  const { by, traceparent } = acting(call, body.reason);
  const { id, name, public_key } = operator;
  await append(tx, {
    type: 'natsid.operator.changed',
    tenant_id: null,
    aggregate: `operator:${id}`,
    traceparent,
    data: { ...by, id, name, public_key, changes: toldChanges(diff) },
  });
  return {
    ...(await operatorView(tx, operator, { dryRun: query.dry_run === 'true' })),
    change: changeView(query, diff, { clusters: signed.length === 0 ? 0 : await clusterCount(tx, id) }),
  };
}

function wantedOf(body: Static<typeof Body>, before: Selectable<OperatorTable>) {
  const merged = mergePatch(before.claims, body.claims ?? {}) as JsonObject;
  return {
    name: (body.name ?? before.name).normalize('NFC'),
    // Claims that nobody touches stay as they are, whatever an import brought.
    claims: body.claims === undefined ? before.claims : checkedOperatorClaims(before.claims, merged),
    open_to_tenants: body.open_to_tenants ?? before.open_to_tenants,
  };
}
