import { append } from '@gatehouse/kit';
import { sql } from 'kysely';
import { takeTurn } from './administration.ts';
import type { AuthContext, AuthTransaction } from './context.ts';

const USERS_PER_BATCH = 500;

/**
 * Deletes tenants whose time has come, once token has confirmed that they are disabled: then no session of theirs lives
 * and none can be opened, so their users need not be told one by one. Each batch is a transaction that also counts, so
 * a process that dies leaves nothing to be undone: the next one goes on.
 */
export async function deleteDueTenants(ctx: AuthContext): Promise<void> {
  const due = await ctx.db
    .selectFrom('tenant')
    .select('id')
    .where('delete_after', '<=', sql<Date>`now()`)
    .where('status', '=', 'disabled')
    .whereRef('synced_version', '=', 'version')
    .orderBy('delete_after')
    .execute();
  for (const { id } of due) {
    while ((await ctx.db.transaction().execute((tx) => deleteSomeUsers(tx, id))) === USERS_PER_BATCH);
    await ctx.db.transaction().execute((tx) => deleteTenant(tx, id));
    ctx.relay.poke();
  }
}

/** Holds the tenant, if it is still to be deleted: somebody may have put it off. */
async function holdDue(tx: AuthTransaction, id: string) {
  await takeTurn(tx);
  return tx
    .selectFrom('tenant')
    .select(['name', 'deleted_users'])
    .where('id', '=', id)
    .where('delete_after', '<=', sql<Date>`now()`)
    .forUpdate()
    .executeTakeFirst();
}

async function deleteSomeUsers(tx: AuthTransaction, tenantId: string): Promise<number> {
  if ((await holdDue(tx, tenantId)) === undefined) return 0;
  const { rows } = await sql<{ id: string; status: string }>`
    select id, status from user_account where tenant_id = ${tenantId} limit ${USERS_PER_BATCH} for update`.execute(
    tx,
  );
  if (rows.length === 0) return 0;
  const ids = sql`(select value::uuid from jsonb_array_elements_text(${JSON.stringify(rows.map(({ id }) => id))}::jsonb))`;
  await sql`delete from session_end where user_id in ${ids}`.execute(tx);
  await sql`insert into retired_id (id) select * from ${ids} as gone on conflict do nothing`.execute(tx);
  await sql`delete from user_account where id in ${ids}`.execute(tx);
  // Who was deleted before has an event of their own.
  const counted = rows.filter(({ status }) => status !== 'deleted').length;
  await sql`update tenant set deleted_users = deleted_users + ${counted} where id = ${tenantId}`.execute(tx);
  return rows.length;
}

async function deleteTenant(tx: AuthTransaction, id: string): Promise<void> {
  const tenant = await holdDue(tx, id);
  if (tenant === undefined) return;
  await sql`delete from lockout where tenant_id = ${id}`.execute(tx);
  await sql`insert into retired_id (id) values (${id}) on conflict do nothing`.execute(tx);
  await tx.deleteFrom('tenant').where('id', '=', id).execute();
  await append(tx, {
    type: 'admin.tenant.deleted',
    tenant_id: id,
    aggregate: `tenant:${id}`,
    traceparent: null,
    data: { name: tenant.name, users: tenant.deleted_users },
  });
}
