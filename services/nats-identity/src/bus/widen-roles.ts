import { append } from '@gatehouse/kit';
import { busServices, busTemplate, completeRoleTemplate, type RoleTemplate } from '@gatehouse/nats-claims';
import type { AccountKeyTable, JsonObject } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import { reissueAccount } from '../account-jwt.ts';
import { diffOf, platformActs } from '../change.ts';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';

/**
 * A newer release may need rights on the bus that its roles do not give yet, such as a subject of a new kind of event.
 * What is missing is added, once; what somebody added or denied stays.
 */
export async function widenBusRoles(ctx: NatsIdentityContext): Promise<void> {
  const changed = await ctx.db.transaction().execute((tx) => widenIn(tx, ctx));
  if (changed.length === 0) return;
  ctx.relay.poke();
  ctx.reconciler.poke();
  ctx.log.info({ roles: changed }, 'the roles of the bus have what this release needs');
}

async function widenIn(tx: NatsidTransaction, ctx: NatsIdentityContext): Promise<string[]> {
  const account = await tx
    .selectFrom('account')
    .innerJoin('operator', 'operator.id', 'account.operator_id')
    .select('account.id')
    .where('operator.own', '=', true)
    .where('account.kind', '=', 'platform')
    .where('account.state', '=', 'active')
    .forUpdate('account')
    .executeTakeFirst();
  if (account === undefined) return [];
  const roles = await tx
    .selectFrom('account_key')
    .selectAll()
    .where('account_id', '=', account.id)
    .where('role_name', 'in', [...busServices])
    .orderBy('role_name')
    .execute();
  const changed: string[] = [];
  for (const role of roles) if (await widenRole(tx, role)) changed.push(role.role_name ?? '');
  if (changed.length > 0) await reissueAccount(tx, ctx, account.id);
  return changed;
}

async function widenRole(tx: NatsidTransaction, role: Selectable<AccountKeyTable>): Promise<boolean> {
  const service = busServices.find((one) => one === role.role_name);
  if (service === undefined || role.scope === null) return false;
  const before = (role.scope.template ?? {}) as RoleTemplate;
  const template = withRights(before, busTemplate(service));
  if (template === undefined) return false;
  const scope: JsonObject = { ...role.scope, template };
  await tx
    .updateTable('account_key')
    .set({ scope, revision: sql`revision + 1`, updated_at: sql`now()` })
    .where('id', '=', role.id)
    .execute();
  await append(tx, {
    type: 'natsid.role.changed',
    tenant_id: null,
    aggregate: `role:${role.id}`,
    traceparent: null,
    data: {
      ...platformActs.by,
      id: role.id,
      name: service,
      public_key: role.public_key,
      account_id: role.account_id,
      changes: diffOf(role.scope, scope),
      users: await usersOf(tx, role.id),
    },
  });
  return true;
}

/** A template with what it lacks of the needed one; undefined when it lacks nothing. No list at all allows everything. */
export function withRights(template: RoleTemplate, needed: RoleTemplate): RoleTemplate | undefined {
  let lacks = false;
  const widened: RoleTemplate = { ...template };
  for (const side of ['pub', 'sub'] as const) {
    const allowed = template[side]?.allow;
    const missing = needed[side]?.allow?.filter((subject) => !allowed?.includes(subject)) ?? [];
    if (allowed === undefined || missing.length === 0) continue;
    lacks = true;
    widened[side] = { ...template[side], allow: [...allowed, ...missing].sort() };
  }
  return lacks ? completeRoleTemplate(widened) : undefined;
}

async function usersOf(tx: NatsidTransaction, roleId: string): Promise<number> {
  const { count } = await tx
    .selectFrom('nats_user')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('role_id', '=', roleId)
    .executeTakeFirstOrThrow();
  return Number(count);
}
