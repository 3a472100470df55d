import {
  type AdminCall,
  administeredBy,
  append,
  newId,
  Problem,
  Reason,
  reasonGiven,
  Uuid,
} from '@gatehouse/kit';
import type { Registration } from '@gatehouse/schema';
import Type from 'typebox';
import { refused, takeTurn } from './administration.ts';
import { type AuthTransaction, route } from './context.ts';
import { syncTenant } from './sync.ts';
import { RegistrationName, TenantName, TenantView, tenantView } from './tenant-view.ts';

const Body = Type.Object(
  {
    id: Type.Optional(Uuid),
    name: TenantName,
    registration: Type.Optional(RegistrationName),
    reason: Reason,
  },
  { additionalProperties: false },
);

export const createTenant = route({
  method: 'POST',
  path: '/api/admin/tenants',
  access: 'tenants.manage',
  summary: 'Make a tenant',
  description: 'Closed for registration unless asked otherwise.',
  body: Body,
  status: 201,
  answer: TenantView,
  problems: ['reason_required', 'tenant_id_taken', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const { body, principal, trace } = call;
    const wanted = {
      id: body.id?.toLowerCase() ?? newId(),
      name: body.name,
      registration: body.registration ?? 'closed',
      reason: reasonGiven(body),
    };
    const outcome = await ctx.db.transaction().execute((tx) => insert(tx, call, wanted));
    if (outcome.outcome === 'refused') throw new Problem(outcome.code);
    ctx.relay.poke();
    const { traceparent } = trace;
    await syncTenant(ctx, wanted.id, { reason: 'tenant_created', actorId: principal.userId, traceparent });
    return tenantView(outcome.tenant);
  },
});

async function insert(
  tx: AuthTransaction,
  call: AdminCall,
  {
    id,
    name,
    registration,
    reason,
  }: { id: string; name: string; registration: Registration; reason: string },
) {
  if (reason === '') return refused('reason_required');
  // The id of a deleted tenant would give its audit to the new one; whoever deletes one has the turn.
  await takeTurn(tx);
  const retired = await tx.selectFrom('retired_id').select('id').where('id', '=', id).executeTakeFirst();
  if (retired !== undefined) return refused('tenant_id_taken');
  const tenant = await tx
    .insertInto('tenant')
    .values({ id, name, registration })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returningAll()
    .executeTakeFirst();
  if (tenant === undefined) return refused('tenant_id_taken');
  await append(tx, {
    type: 'admin.tenant.created',
    tenant_id: id,
    aggregate: `tenant:${id}`,
    traceparent: call.trace.traceparent,
    data: { ...administeredBy(call, reason), name, registration },
  });
  return { outcome: 'created' as const, tenant };
}
