import { sql } from 'kysely';
import type { NatsIdentityContext } from '../context.ts';

/**
 * Of these locked accounts, those whose lock-out JWT is not proven on every known server of every cluster yet, with the
 * reason. Streams are looked at, and claims deleted, only when nobody can connect any more.
 */
export async function notLockedOut(
  ctx: NatsIdentityContext,
  accountIds: readonly string[],
): Promise<Map<string, string>> {
  if (accountIds.length === 0) return new Map();
  const { rows } = await sql<{ id: string; detail: string }>`
    select a.id, string_agg(
      'cluster ' || c.name || ': ' || coalesce(
        s.error,
        'not locked out yet on ' || (
          select string_agg(k.server_name, ', ' order by k.server_name) from cluster_server k
          where k.cluster_id = c.id and k.state = 'unreachable') || ', which does not answer',
        'the lock-out is on its way'),
      '; ' order by c.name) as detail
    from account a
    join cluster c on c.operator_id = a.operator_id
    left join account_sync s on s.cluster_id = c.id and s.account_id = a.id
    where a.id = any(${sql.val(accountIds)}::uuid[])
      and (
        s.proven is null or s.proven < s.wanted or s.state <> 'in_sync'
        or exists (select from cluster_server k where k.cluster_id = c.id and k.state = 'unreachable'))
    group by a.id`.execute(ctx.db);
  return new Map(rows.map(({ id, detail }) => [id, detail]));
}
