import { type AdminCall, administeredBy, append, Problem, Reason, reasonGiven } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { isLastAdministrator, lockParties, type Party, type Refused, refused } from './administration.ts';
import { type AuthTransaction, route } from './context.ts';
import { digestOf } from './identity.ts';
import { syncUser } from './sync.ts';
import { UserParams } from './user-view.ts';

export const deleteUser = route({
  method: 'DELETE',
  path: '/api/admin/users/:id',
  access: 'users.manage',
  summary: 'Delete a user',
  description:
    'Cannot be taken back. Every session ends, address, name and password are gone at once, and the address is free again. What the audit has recorded stays.',
  params: UserParams,
  query: Type.Object({ reason: Reason }, { additionalProperties: false }),
  status: 204,
  answer: Type.Null(),
  problems: ['reason_required', 'role_too_high', 'not_found', 'last_administrator', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const wanted = { id: call.params.id.toLowerCase(), reason: reasonGiven(call.query) };
    const outcome = await ctx.db.transaction().execute((tx) => remove(tx, call, wanted));
    if (outcome.outcome === 'refused') throw new Problem(outcome.code);
    ctx.relay.poke();
    const { tenant_id: tenantId, email } = outcome.target;
    await ctx.accountLimit?.forget({ tenantId, email });
    const { traceparent } = call.trace;
    await syncUser(ctx, wanted.id, {
      reason: 'account_deleted',
      actorId: call.principal.userId,
      traceparent,
    });
    return null;
  },
});

async function remove(
  tx: AuthTransaction,
  call: AdminCall,
  { id, reason }: { readonly id: string; readonly reason: string },
): Promise<Refused | { readonly outcome: 'deleted'; readonly target: Party }> {
  const parties = await lockParties(tx, call.principal, { id, reason, needs: 'users.manage' });
  if (parties.outcome === 'refused') return parties;
  const { target } = parties;
  if (await isLastAdministrator(tx, parties)) return refused('last_administrator');
  await forgetPerson(tx, target);
  await append(tx, {
    type: 'admin.user.deleted',
    tenant_id: target.tenant_id,
    aggregate: `user:${id}`,
    traceparent: call.trace.traceparent,
    data: {
      ...administeredBy(call, reason),
      user_id: id,
      before: { role: target.role, status: target.status },
    },
  });
  return { outcome: 'deleted', target };
}

/** The row stays, without the person, until token has confirmed the deletion: remove-deleted.ts. */
async function forgetPerson(tx: AuthTransaction, { id, tenant_id, email }: Party): Promise<void> {
  await sql`insert into retired_id (id) values (${id}) on conflict do nothing`.execute(tx);
  await sql`delete from lockout where tenant_id = ${tenant_id} and identity = ${digestOf(email)}`.execute(tx);
  // Every session ends with the account.
  await tx.deleteFrom('session_end').where('user_id', '=', id).execute();
  await tx
    .updateTable('user_account')
    .set({
      status: 'deleted',
      // No address that anybody can have: it has no @.
      email: `deleted:${id}`,
      name: null,
      password_hash: '',
      version: sql<number>`version + 1`,
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', id)
    .execute();
}
