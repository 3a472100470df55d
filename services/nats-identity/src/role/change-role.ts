import { append, Uuid } from '@gatehouse/kit';
import type { JsonObject } from '@gatehouse/schema';
import { sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  actedBy,
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
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { NameText } from '../name.ts';
import { LooseTemplate, roleBodyBytesMax } from './create-role.ts';
import { lockRole, type RoleRow, RoleView, readRole } from './role-view.ts';
import { checkTemplate, disallowsBearer, readScope, scopeOf } from './scope.ts';

const Body = Type.Object({
  name: Type.Optional(NameText),
  description: Type.Optional(Type.String({ maxLength: 8192 })),
  template: Type.Optional(LooseTemplate),
  ...reasonBody,
});

export const changeRole = route({
  method: 'PATCH',
  path: '/api/nats/roles/:id',
  access: 'nats.manage',
  summary: 'Change what a role allows',
  description:
    '`template` is a JSON merge patch (RFC 7396). Whatever differs in the JWT, even the description, makes every server close the live connections of its users at once; they may connect again under the new rules. `change.affected.disconnects` says so, and ?dry_run=true says it before. A change that says nothing new does nothing.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  bodyBytesMax: roleBodyBytesMax,
  answer: Type.Object({ ...RoleView.properties, change: ChangeView }),
  problems: [
    'not_found',
    'account_not_active',
    'invalid_claims',
    'name_taken',
    'precondition_failed',
    'no_signing_key',
    'conflict',
  ],
  run: (ctx) => async (call) => {
    const outcome = await inChange(ctx, call.query, (tx) => change(tx, ctx, call));
    showRevision(call, outcome.revision);
    return outcome;
  },
});

type ChangeRoleCall = ChangeCall & {
  readonly body: Static<typeof Body>;
  readonly query: { readonly dry_run?: 'true' | 'false' };
  readonly params: { readonly id: string };
};

async function change(tx: NatsidTransaction, ctx: NatsIdentityContext, call: ChangeRoleCall) {
  const { body, query, params, principal } = call;
  const { account, role } = await lockRole(tx, principal, params.id);
  checkRevision(call, role.revision);
  const scope = scopeAfter(role, body, disallowsBearer(account.claims));
  const diff = diffOf(role.scope, scope);
  if (diff.length === 0) return { ...(await readRole(tx, role.id)), change: changeView(query) };

  await tx
    .updateTable('account_key')
    .set({
      scope,
      role_name: body.name ?? role.role_name,
      revision: sql<number>`revision + 1`,
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', role.id)
    .execute();
  await reissueAccount(tx, ctx, account.id);
  const view = await readRole(tx, role.id);
  await append(tx, {
    type: 'natsid.role.changed',
    tenant_id: account.tenant_id,
    aggregate: `role:${role.id}`,
    traceparent: call.trace.traceparent,
    data: {
      ...actedBy(call, body.reason),
      id: role.id,
      name: view.name,
      public_key: role.public_key,
      account_id: account.id,
      changes: toldChanges(diff),
      users: view.users,
    },
  });
  const clusters = await clusterCount(tx, account.operator_id);
  return {
    ...view,
    change: changeView(query, diff, { accounts: 1, users: view.users, disconnects: true, clusters }),
  };
}

/**
 * The scope after a change. One that is as an import brought it stays so to the byte unless the change says something
 * new: bringing it to its normal form would close connections for nothing.
 */
function scopeAfter(role: RoleRow, body: Static<typeof Body>, disallowBearer: boolean): JsonObject {
  const before = readScope(role.role_name, role.scope);
  const template = mergePatch(before.template, body.template ?? {}) as JsonObject;
  const after = {
    name: body.name ?? before.name,
    description: body.description ?? before.description,
    template,
  };
  if (diffOf(before, after).length === 0) return role.scope;
  checkTemplate(template, { before: before.template, disallowBearer });
  const scope = scopeOf(after, role.scope);
  // Only a name or a description was changed: the template stays as it is written.
  return diffOf(before.template, template).length === 0 ? { ...scope, template: before.template } : scope;
}
