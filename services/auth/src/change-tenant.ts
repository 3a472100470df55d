import { type AdminCall, administeredBy, append, Problem, Reason, reasonGiven } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { hasPlatformAdministrator, type Refused, refused, takeTurn } from './administration.ts';
import { type AuthTransaction, route } from './context.ts';
import { syncTenant } from './sync.ts';
import {
  RegistrationName,
  TenantName,
  TenantParams,
  type TenantRow,
  TenantStatusName,
  TenantView,
  tenantView,
} from './tenant-view.ts';

const Body = Type.Object(
  {
    name: Type.Optional(TenantName),
    status: Type.Optional(TenantStatusName),
    registration: Type.Optional(RegistrationName),
    reason: Reason,
  },
  { additionalProperties: false, minProperties: 1 },
);

export const changeTenant = route({
  method: 'PATCH',
  path: '/api/admin/tenants/:id',
  access: 'tenants.manage',
  summary: 'Rename a tenant, disable or enable it, set its registration policy',
  description:
    'A disabled tenant loses all sessions and opens none; its users cannot sign in. One that is to be deleted is enabled only once its deletion is cancelled.',
  params: TenantParams,
  body: Body,
  answer: TenantView,
  problems: ['reason_required', 'not_found', 'conflict', 'last_administrator', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const { body, principal, trace } = call;
    const reason = reasonGiven(body);
    const id = call.params.id.toLowerCase();
    const outcome = await ctx.db.transaction().execute((tx) => change(tx, call, { id, body, reason }));
    if (outcome.outcome === 'refused')
      throw new Problem(
        outcome.code,
        outcome.code === 'conflict' ? { detail: 'The tenant is to be deleted: cancel that first.' } : {},
      );
    ctx.relay.poke();
    const { traceparent } = trace;
    await syncTenant(ctx, id, { reason: 'tenant_changed', actorId: principal.userId, traceparent });
    return tenantView(outcome.tenant);
  },
});

async function change(
  tx: AuthTransaction,
  call: AdminCall,
  { id, body, reason }: { id: string; body: Static<typeof Body>; reason: string },
): Promise<Refused | { readonly outcome: 'done'; readonly tenant: TenantRow }> {
  await takeTurn(tx);
  const before = await tx
    .selectFrom('tenant')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (before === undefined) return refused('not_found');
  if (reason === '') return refused('reason_required');
  const after = { ...stateOf(before), ...given(body) };
  if (Object.entries(stateOf(before)).every(([name, value]) => after[name as keyof typeof after] === value))
    return { outcome: 'done', tenant: before };
  if (after.status === 'active' && before.delete_after !== null) return refused('conflict');
  const disabled = after.status === 'disabled' && before.status === 'active';
  if (disabled && !(await hasPlatformAdministrator(tx, { outside: id })))
    return refused('last_administrator');
  const tenant = await tx
    .updateTable('tenant')
    .set({
      ...after,
      // Name and registration are nothing that token must know.
      ...(after.status !== before.status && { version: sql<number>`version + 1` }),
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
  await append(tx, {
    type: 'admin.tenant.changed',
    tenant_id: id,
    aggregate: `tenant:${id}`,
    traceparent: call.trace.traceparent,
    data: {
      ...administeredBy(call, reason),
      before: stateOf(before),
      after,
    },
  });
  return { outcome: 'done', tenant };
}

const stateOf = ({ name, status, registration }: TenantRow) => ({ name, status, registration });

const given = ({ name, status, registration }: Static<typeof Body>) => ({
  ...(name !== undefined && { name }),
  ...(status !== undefined && { status }),
  ...(registration !== undefined && { registration }),
});
