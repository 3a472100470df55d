import { isUuid, questions } from '@gatehouse/kit';
import { sql } from 'kysely';
import { answer, type TokenTransaction } from './context.ts';
import { endSessions, SESSIONS_PER_TRANSACTION, settle, tellCount } from './revocation.ts';

/** Auth tells the newest state of a tenant. */
export const putTenant = answer(questions.putTenant, (ctx) => async (body, traceparent) => {
  if (!isUuid(body.tenant_id)) return { taken: 0 };
  const scope = { of: 'tenant', tenantId: body.tenant_id } as const;
  const cause = {
    reason: body.reason,
    actorId: body.actor_id,
    clientIp: null,
    userAgent: null,
    traceparent: body.traceparent ?? traceparent,
    tenantId: body.tenant_id,
  };
  let taken = 0;
  for (;;) {
    // The state goes first, with the first of the sessions: from then on no refresh and no sign-in of the tenant
    // succeeds. Whoever is told the same version again ends what a crash in between left.
    const step = await ctx.db.transaction().execute(async (tx) => {
      const verdict = await takeTenant(tx, body);
      if (verdict === 'older' || body.status === 'active') return { verdict, ended: [] };
      const ended = await endSessions(tx, ctx, scope, cause);
      if (ended.length > 0) await tellCount(tx, scope, ended.length, cause);
      return { verdict, ended };
    });
    settle(ctx, step.ended);
    if (step.verdict === 'newer') taken = 1;
    if (step.ended.length < SESSIONS_PER_TRANSACTION) return { taken };
  }
});

async function takeTenant(
  tx: TokenTransaction,
  { tenant_id, status, version }: { tenant_id: string; status: string; version: number },
): Promise<'newer' | 'same' | 'older'> {
  const { rows } = await sql`
    insert into tenant_state (tenant_id, status, version) values (${tenant_id}, ${status}, ${version})
    on conflict (tenant_id) do update set status = excluded.status, version = excluded.version, updated_at = now()
    where excluded.version > tenant_state.version
    returning version`.execute(tx);
  if (rows.length > 0) return 'newer';
  const known = await tx
    .selectFrom('tenant_state')
    .select('version')
    .where('tenant_id', '=', tenant_id)
    .executeTakeFirstOrThrow();
  return known.version === version ? 'same' : 'older';
}
