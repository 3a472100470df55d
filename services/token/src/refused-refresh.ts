import { addressKey, append, type Call, type Client } from '@gatehouse/kit';
import { sql } from 'kysely';
import { type AccessGrant, grantTimes } from './access-token.ts';
import type { TokenContext, TokenTransaction } from './context.ts';
import { announce, settle, tellEach, untilOf } from './revocation.ts';

/** A refresh token on the way in, by its hash. */
export interface Presented {
  readonly hash: Buffer;
  readonly client: Client;
  readonly trace: Call['trace'];
}

/** Why a refresh token was not spent. `spendable`: it was not a moment ago, and is now. */
export type Verdict =
  | { readonly outcome: 'unknown' | 'expired' | 'revoked' | 'replayed' | 'spendable' }
  | { readonly outcome: 'retried'; readonly grant: AccessGrant };

interface Found extends AccessGrant {
  readonly generation: number;
  readonly consumed_at: Date | null;
  readonly consumed_ip: string | null;
  readonly consumed_agent: string | null;
  readonly in_grace: boolean | null;
  readonly expired: boolean;
  readonly session_expired: boolean;
  readonly live: boolean;
}

const findSql = (graceSeconds: number, accessTtlSeconds: number): string => `
  select t.generation, t.consumed_at, t.consumed_ip, t.consumed_agent,
    t.consumed_at > now() - ${graceSeconds} * interval '1 second' as in_grace,
    t.expires_at <= now() as expired, s.expires_at <= now() as session_expired,
    s.revoked_at is null and coalesce(u.status = 'active', false) and coalesce(n.status = 'active', false) as live,
    s.user_id, s.tenant_id, s.id as session_id, s.scope, to_json(coalesce(u.roles, '{}'))::text as roles,
    ${grantTimes('s.expires_at', accessTtlSeconds)}
  from refresh_token t
  join session s on s.id = t.family_id
  left join subject u on u.user_id = s.user_id
  left join tenant_state n on n.tenant_id = s.tenant_id
  where t.hash = $1`;

/**
 * Decides why a token was not spent, and leaves what that demands. A consumed token is an honest retry only within the
 * grace, from the same client, while the session lives; any other use of it is a replay, which ends the session.
 */
export async function judgeRefused(ctx: TokenContext, presented: Presented): Promise<Verdict> {
  const { REFRESH_REUSE_GRACE_SECONDS: grace, ACCESS_TOKEN_TTL_SECONDS: ttl } = ctx.config;
  const { rows } = await ctx.pool.query<Found>({
    name: 'refused_refresh',
    text: findSql(grace, ttl),
    values: [presented.hash],
  });
  const found = rows[0];
  if (found === undefined) return { outcome: 'unknown' };
  const dead = !found.live || found.session_expired;
  if (found.consumed_at !== null) {
    const honest = found.in_grace === true && sameClient(found, presented.client);
    if (honest && !dead) return { outcome: 'retried', grant: found };
    if (!honest) {
      await punish(ctx, found, presented);
      return { outcome: 'replayed' };
    }
  }
  if (!dead && !found.expired) return { outcome: 'spendable' };
  const outcome = found.live ? 'expired' : 'revoked';
  await ctx.db.transaction().execute((tx) => tellRefused(tx, found, presented, outcome));
  ctx.relay.poke();
  return { outcome };
}

/** The same address (IPv6: the same /64) and the same browser, as far as it says. */
function sameClient(found: Found, client: Client): boolean {
  if (found.consumed_ip === null || client.ip === null) return false;
  return addressKey(found.consumed_ip) === addressKey(client.ip) && found.consumed_agent === client.userAgent;
}

/**
 * A family is condemned once: the first replay writes the critical event, even when the session had ended otherwise;
 * whatever comes later is refused with a notice, so that a flood of replays is not a flood of alarms.
 */
async function punish(ctx: TokenContext, found: Found, presented: Presented): Promise<void> {
  const condemned = await ctx.db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ until: number; was_live: boolean }>`
      update session s set revoked_at = coalesce(s.revoked_at, now()), revoked_reason = 'refresh_replayed'
      from (select id, revoked_at from session where id = ${found.session_id} for update) as before
      where s.id = before.id and s.revoked_reason is distinct from 'refresh_replayed'
      returning ${untilOf(ctx)} as until, before.revoked_at is null as was_live`.execute(tx);
    const verdict = rows[0];
    if (verdict === undefined) {
      await tellRefused(tx, found, presented, 'replayed');
      return undefined;
    }
    await tellReplay(tx, found, presented);
    if (!verdict.was_live) return [];
    const ended = [
      { id: found.session_id, user_id: found.user_id, tenant_id: found.tenant_id, until: verdict.until },
    ];
    await announce(tx, ended, presented.trace.traceparent);
    await tellEach(tx, ended, {
      reason: 'refresh_replayed',
      actorId: null,
      clientIp: presented.client.ip,
      userAgent: presented.client.userAgent,
      traceparent: presented.trace.traceparent,
    });
    return ended;
  });
  settle(ctx, condemned ?? []);
}

async function tellReplay(tx: TokenTransaction, found: Found, { client, trace }: Presented): Promise<void> {
  const by = [found.consumed_ip, found.consumed_agent].filter((part) => part !== null).join(' ');
  await append(tx, {
    type: 'security.refresh_replay_detected',
    tenant_id: found.tenant_id,
    aggregate: `session:${found.session_id}`,
    traceparent: trace.traceparent,
    data: {
      user_id: found.user_id,
      client_ip: client.ip,
      user_agent: client.userAgent,
      session_id: found.session_id,
      family_id: found.session_id,
      first_used_at: found.consumed_at?.toISOString() ?? null,
      first_used_by: by === '' ? null : by,
    },
  });
}

async function tellRefused(
  tx: TokenTransaction,
  found: Found,
  { client, trace }: Presented,
  reason: 'expired' | 'revoked' | 'replayed',
): Promise<void> {
  await append(tx, {
    type: 'session.refresh_refused',
    tenant_id: found.tenant_id,
    aggregate: `session:${found.session_id}`,
    traceparent: trace.traceparent,
    data: {
      user_id: found.user_id,
      client_ip: client.ip,
      user_agent: client.userAgent,
      session_id: found.session_id,
      reason,
    },
  });
}
