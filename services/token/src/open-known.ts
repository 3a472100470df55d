import { EVENT_LANE, eventJson, newId, OUTBOX_INSERT, type questions } from '@gatehouse/kit';
import type { Static } from 'typebox';
import { type AccessGrant, grantTimes } from './access-token.ts';
import type { TokenContext } from './context.ts';
import type { RefreshToken } from './refresh-token.ts';

/** What is to be opened. */
export interface Opening {
  readonly asked: Static<typeof questions.openSession.ask>;
  readonly refresh: RefreshToken;
  /** traceparent of the request. */
  readonly trace: string;
}

/**
 * The session of somebody of whom token knows exactly what auth says, in one statement: nearly every sign-in. Tenant and
 * user are locked as `open-session.ts` locks them, in its order, and for as long: whoever disables one of them at this
 * moment either came first, and nothing is opened here, or waits and ends what is.
 */
const openKnownSql = (accessTtlSeconds: number): string => `
  with tenant as materialized (
    select tenant_id from tenant_state where tenant_id = $1 and version = $2 and status = 'active' for share
  ), known as materialized (
    select u.user_id, u.roles from tenant n join subject u on u.tenant_id = n.tenant_id
    where u.user_id = $3 and u.version = $4 and u.status = 'active' and u.roles = $5::text[]
    for share of u
  ), opened as (
    insert into session (id, tenant_id, user_id, scope, client_ip, user_agent, expires_at)
    select $6, $1, user_id, $7, $8, $9, now() + $10::int4 * interval '1 second' from known
    returning *
  ), first as (
    insert into refresh_token (hash, family_id, generation, expires_at)
    select $11, id, 0, least(now() + $12::int4 * interval '1 second', expires_at) from opened
  ), event as (
    ${OUTBOX_INSERT}
    select $13, ${EVENT_LANE}, 'session.created', 'session.created', tenant_id, 'session:' || id,
      $14::jsonb || jsonb_build_object('user_id', user_id, 'session_id', id,
        'expires_at', to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')), $15
    from opened
  )
  select o.user_id, o.tenant_id, o.id as session_id, o.scope, to_json(k.roles)::text as roles,
    ${grantTimes('o.expires_at', accessTtlSeconds)}
  from opened o, known k`;

/** Opens it; undefined where what token knows is not what auth says: `open-session.ts` finds out why. */
export type OpenKnown = (opening: Opening) => Promise<AccessGrant | undefined>;

/** With the settings of a service. */
export function createOpenKnown({ pool, config }: Pick<TokenContext, 'pool' | 'config'>): OpenKnown {
  const text = openKnownSql(config.ACCESS_TOKEN_TTL_SECONDS);
  return async ({ asked, refresh, trace }) => {
    const { subject, tenant_version, scope, client_ip, user_agent } = asked;
    const values = [
      ...[subject.tenant_id, tenant_version, subject.user_id, subject.version, subject.roles],
      ...[newId(), scope, client_ip, user_agent, config.SESSION_ABSOLUTE_TTL_SECONDS],
      ...[refresh.hash, config.REFRESH_IDLE_TTL_SECONDS],
      ...[newId(), eventJson('session.created', { client_ip, user_agent }), trace],
    ];
    const { rows } = await pool.query<AccessGrant>({ name: 'open-known', text, values });
    return rows[0];
  };
}
