import { type AdminCall, administeredBy, append, Problem, Reason, reasonGiven } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { hasPlatformAdministrator, type Refused, refused, takeTurn } from './administration.ts';
import { type AuthContext, type AuthTransaction, route } from './context.ts';
import { syncTenant } from './sync.ts';
import { TenantParams, type TenantRow, TenantView, tenantView } from './tenant-view.ts';

const DELAY_DAYS_DEFAULT = 30;
const DELAY_DAYS_MAX = 365;

export const deleteTenant = route({
  method: 'DELETE',
  path: '/api/admin/tenants/:id',
  access: 'tenants.manage',
  summary: 'Disable a tenant and delete it after a while',
  description:
    'Disabled at once: every session ends. After the delay its users, and then the tenant, are deleted for good, with their NATS accounts; until then it can be cancelled. Asked again, it keeps its date unless delay_days is given.',
  params: TenantParams,
  query: Type.Object(
    {
      reason: Reason,
      delay_days: Type.Optional(
        Type.String({
          pattern: '^[0-9]{1,4}$',
          description: `Days until it is deleted: ${DELAY_DAYS_DEFAULT} unless given, 0 to ${DELAY_DAYS_MAX}.`,
        }),
      ),
    },
    { additionalProperties: false },
  ),
  status: 202,
  answer: TenantView,
  problems: ['reason_required', 'not_found', 'conflict', 'last_administrator', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const { query, principal, trace } = call;
    const days = query.delay_days === undefined ? undefined : Number(query.delay_days);
    if (days !== undefined && days > DELAY_DAYS_MAX)
      throw new Problem('invalid_request', { detail: `delay_days must be from 0 to ${DELAY_DAYS_MAX}.` });
    const id = call.params.id.toLowerCase();
    const wanted = { id, days, reason: reasonGiven(query) };
    const outcome = await ctx.db.transaction().execute((tx) => schedule(tx, ctx, call, wanted));
    if (outcome.outcome === 'refused') throw problemOf(outcome);
    ctx.relay.poke();
    const { traceparent } = trace;
    await syncTenant(ctx, id, { reason: 'tenant_deleted', actorId: principal.userId, traceparent });
    return tenantView(outcome.tenant);
  },
});

const problemOf = ({ code }: Refused): Problem =>
  code === 'conflict'
    ? new Problem(code, { detail: 'The default tenant stays: it is the tenant of whoever names none.' })
    : new Problem(code);

async function schedule(
  tx: AuthTransaction,
  { config }: AuthContext,
  call: AdminCall,
  { id, days, reason }: { readonly id: string; readonly days: number | undefined; readonly reason: string },
): Promise<Refused | { readonly outcome: 'scheduled'; readonly tenant: TenantRow }> {
  await takeTurn(tx);
  const before = await tx
    .selectFrom('tenant')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (before === undefined) return refused('not_found');
  if (reason === '') return refused('reason_required');
  if (id === config.DEFAULT_TENANT_ID) return refused('conflict');
  if (!(await hasPlatformAdministrator(tx, { outside: id }))) return refused('last_administrator');
  if (before.delete_after !== null && days === undefined) return { outcome: 'scheduled', tenant: before };
  const tenant = await tx
    .updateTable('tenant')
    .set({
      status: 'disabled',
      delete_after: sql<Date>`now() + make_interval(days => ${days ?? DELAY_DAYS_DEFAULT})`,
      ...(before.status !== 'disabled' && { version: sql<number>`version + 1` }),
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
  await append(tx, {
    type: 'admin.tenant.deletion_scheduled',
    tenant_id: id,
    aggregate: `tenant:${id}`,
    traceparent: call.trace.traceparent,
    data: {
      ...administeredBy(call, reason),
      before: { status: before.status, delete_after: before.delete_after?.toISOString() ?? 'never' },
      delete_after: tenant.delete_after?.toISOString() ?? '',
    },
  });
  return { outcome: 'scheduled', tenant };
}
