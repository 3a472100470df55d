import { type AdminCall, administeredBy, append, Problem, Reason, reasonGiven } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { type Refused, refused, takeTurn } from './administration.ts';
import { type AuthTransaction, route } from './context.ts';
import { TenantParams, type TenantRow, TenantView, tenantView } from './tenant-view.ts';

export const cancelTenantDeletion = route({
  method: 'POST',
  path: '/api/admin/tenants/:id/cancel-deletion',
  access: 'tenants.manage',
  summary: 'Keep a tenant that was to be deleted',
  description: 'It stays disabled until it is enabled. Too late once the deletion has begun.',
  params: TenantParams,
  body: Type.Object({ reason: Reason }),
  answer: TenantView,
  problems: ['reason_required', 'not_found', 'conflict'],
  run: (ctx) => async (call) => {
    const wanted = { id: call.params.id.toLowerCase(), reason: reasonGiven(call.body) };
    const outcome = await ctx.db.transaction().execute((tx) => cancel(tx, call, wanted));
    if (outcome.outcome === 'refused')
      throw new Problem(
        outcome.code,
        outcome.code === 'conflict' ? { detail: 'The deletion has begun: users may be gone already.' } : {},
      );
    ctx.relay.poke();
    return tenantView(outcome.tenant);
  },
});

async function cancel(
  tx: AuthTransaction,
  call: AdminCall,
  { id, reason }: { readonly id: string; readonly reason: string },
): Promise<Refused | { readonly outcome: 'cancelled'; readonly tenant: TenantRow }> {
  await takeTurn(tx);
  const before = await tx
    .selectFrom('tenant')
    .selectAll()
    .select(sql<boolean>`delete_after <= now()`.as('due'))
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (before === undefined) return refused('not_found');
  if (reason === '') return refused('reason_required');
  if (before.delete_after === null) return { outcome: 'cancelled', tenant: before };
  // Whether or not the job has come to it yet: from its date on a deletion only goes forward.
  if (before.due) return refused('conflict');
  const tenant = await tx
    .updateTable('tenant')
    .set({ delete_after: null, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
  await append(tx, {
    type: 'admin.tenant.deletion_cancelled',
    tenant_id: id,
    aggregate: `tenant:${id}`,
    traceparent: call.trace.traceparent,
    data: { ...administeredBy(call, reason), delete_after: before.delete_after.toISOString() },
  });
  return { outcome: 'cancelled', tenant };
}
