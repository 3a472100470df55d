import { isUuid, questions } from '@gatehouse/kit';
import { answer, type TokenContext } from './context.ts';

/** A key of the environment lives as long as this process; a managed one as long as the database says. */
async function published({ ring, pool }: TokenContext, kid: string): Promise<boolean> {
  if (ring.environment.some((key) => key.kid === kid)) return true;
  const { rowCount } = await pool.query({
    name: 'key_published',
    text: "select from signing_key where kid = $1 and state <> 'retired'",
    values: [kid],
  });
  return rowCount === 1;
}

const text = `
  select s.revoked_at is null and s.expires_at > now() and u.status = 'active' and t.status = 'active' as active, u.roles
  from session s
  join subject u on u.user_id = s.user_id
  join tenant_state t on t.tenant_id = s.tenant_id
  where s.id = $1`;

/** The truth about one session, for services whose revocation feed is stale. */
export const sessionStatus = answer(questions.sessionStatus, (ctx) => async ({ session_id, kid }) => {
  if (!isUuid(session_id) || !(await published(ctx, kid))) return { active: false, roles: [] };
  const { rows } = await ctx.pool.query<{ active: boolean; roles: string[] }>({
    name: 'session_status',
    text,
    values: [session_id],
  });
  return rows[0] ?? { active: false, roles: [] };
});
