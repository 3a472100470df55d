import { append, Problem, Reason, reasonGiven, Uuid } from '@gatehouse/kit';
import type { TenantTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import {
  type AdminCall,
  administeredBy,
  hasPlatformAdministrator,
  type Refused,
  refused,
  takeTurn,
} from './administration.ts';
import { type AuthTransaction, route } from './context.ts';
import { syncTenant } from './sync.ts';
import { RegistrationName, TenantStatusName, TenantView, tenantView } from './tenant-view.ts';

const Body = Type.Object(
  {
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
  summary: 'Disable or enable a tenant, open or close its registration',
  description: 'A disabled tenant loses all sessions and opens none; its users cannot sign in.',
  params: Type.Object({ id: Uuid }),
  body: Body,
  answer: TenantView,
  problems: ['reason_required', 'not_found', 'last_administrator', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const { body, principal, trace } = call;
    const reason = reasonGiven(body);
    const id = call.params.id.toLowerCase();
    const outcome = await ctx.db.transaction().execute((tx) => change(tx, call, { id, body, reason }));
    if (outcome.outcome === 'refused') throw new Problem(outcome.code);
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
): Promise<Refused | { readonly outcome: 'done'; readonly tenant: Selectable<TenantTable> }> {
  await takeTurn(tx);
  const before = await tx
    .selectFrom('tenant')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (before === undefined) return refused('not_found');
  if (reason === '') return refused('reason_required');
  const status = body.status ?? before.status;
  const registration = body.registration ?? before.registration;
  if (status === before.status && registration === before.registration)
    return { outcome: 'done', tenant: before };
  if (status === 'disabled' && !(await hasPlatformAdministrator(tx, { outside: id })))
    return refused('last_administrator');
  const tenant = await tx
    .updateTable('tenant')
    .set({
      status,
      registration,
      // Registration is nothing that token must know.
      ...(status !== before.status && { version: sql<number>`version + 1` }),
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
      before: { status: before.status, registration: before.registration },
      after: { status, registration },
    },
  });
  return { outcome: 'done', tenant };
}
