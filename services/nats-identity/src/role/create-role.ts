import { append, newId, Uuid } from '@gatehouse/kit';
import { createNkey, type Nkey } from '@gatehouse/nats-claims';
import type { AccountTable, JsonObject } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import Type from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  type Acting,
  acting,
  ChangeView,
  changeQuery,
  changeView,
  diffOf,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { NameText } from '../name.ts';
import { keepSeed } from '../secret.ts';
import { lockAccount } from '../visible.ts';
import { RoleView, readRole } from './role-view.ts';
import { checkTemplate, disallowsBearer, type RoleScope, scopeOf } from './scope.ts';

/** A template of thousands of subjects has its place in a role; a user's JWT has none for it. */
export const roleBodyBytesMax = 512 * 1024;

export const LooseTemplate = Type.Record(Type.String({ maxLength: 64 }), Type.Unknown(), {
  description:
    'Permissions and limits, in nats-server’s own fields (RoleTemplate). Subjects may use {{name()}}, {{subject()}}, {{tag(x)}}, {{account-name()}}, {{account-subject()}} and {{account-tag(x)}}.',
});

export const createRole = route({
  method: 'POST',
  path: '/api/nats/roles',
  access: 'nats.manage',
  summary: 'Make a role: a scoped signing key whose template its users obey',
  description: 'A role without a template allows everything within its account.',
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Type.Object({
    account_id: Uuid,
    name: NameText,
    description: Type.Optional(Type.String({ maxLength: 8192 })),
    template: Type.Optional(LooseTemplate),
    ...reasonBody,
  }),
  bodyBytesMax: roleBodyBytesMax,
  status: 201,
  answer: Type.Object({ ...RoleView.properties, change: ChangeView }),
  problems: ['not_found', 'account_not_active', 'invalid_claims', 'name_taken', 'no_signing_key', 'conflict'],
  run: (ctx) => async (call) => {
    const { body, principal, query } = call;
    const wanted = { name: body.name, description: body.description ?? '', template: body.template ?? {} };
    const made = await inChange(ctx, query, async (tx) => {
      const account = await lockAccount(tx, principal, body.account_id);
      checkTemplate(wanted.template, { disallowBearer: disallowsBearer(account.claims) });
      const { id, scope } = await createRoleIn(tx, ctx, {
        ...wanted,
        account,
        acting: acting(call, body.reason),
      });
      await reissueAccount(tx, ctx, account.id);
      const clusters = await clusterCount(tx, account.operator_id);
      const change = changeView(query, diffOf({}, scope), { accounts: 1, clusters });
      return { ...(await readRole(tx, id)), change };
    });
    showRevision(call, made.revision);
    return made;
  },
});

/** What {@link createRoleIn} is told. */
export interface NewRole extends RoleScope {
  readonly account: Pick<Selectable<AccountTable>, 'id' | 'tenant_id'>;
  readonly acting: Acting;
  /** Its key, when there is one already. */
  readonly key?: Nkey;
  /** In place of a key: its seed is elsewhere, and nothing is issued to its users here. */
  readonly publicKey?: string;
  /** An imported scope with all its fields, kept as it is. */
  readonly scope?: JsonObject;
}

/**
 * Writes a role and its event. The caller holds the account's lock, has checked the template, and issues the account
 * anew when all is there.
 */
export async function createRoleIn(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  role: NewRole,
): Promise<{ readonly id: string; readonly publicKey: string; readonly scope: JsonObject }> {
  const { account, acting: by } = role;
  const key = role.publicKey === undefined ? (role.key ?? createNkey('account')) : undefined;
  const publicKey = key?.publicKey ?? role.publicKey ?? '';
  const id = newId();
  const scope = role.scope ?? scopeOf(role);
  const row = {
    id,
    account_id: account.id,
    public_key: publicKey,
    secret_id: key ? await keepSeed(tx, ctx, 'account_signing', key) : null,
    role_name: role.name,
    scope,
  };
  await tx.insertInto('account_key').values(row).execute();
  await append(tx, {
    type: 'natsid.role.created',
    tenant_id: account.tenant_id,
    aggregate: `role:${id}`,
    traceparent: by.traceparent,
    data: { ...by.by, id, name: role.name, public_key: publicKey, account_id: account.id },
  });
  return { id, publicKey, scope };
}
