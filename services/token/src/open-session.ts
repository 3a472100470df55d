import { append, isUuid, newId, questions } from '@gatehouse/kit';
import { sql } from 'kysely';
import { type AccessGrant, grantTimes } from './access-token.ts';
import { answer, type TokenContext, type TokenTransaction } from './context.ts';
import { createOpenKnown, type Opening } from './open-known.ts';
import { type RevocationEntry, takeSubjects } from './subject.ts';

/** Opens a session for somebody whose credentials auth has just checked. */
export const openSession = answer(questions.openSession, (ctx) => {
  const openKnown = createOpenKnown(ctx);
  return async (asked, traceparent) => {
    const { subject } = asked;
    if (subject.status !== 'active' || !isUuid(subject.user_id) || !isUuid(subject.tenant_id))
      return { outcome: 'inactive' as const };
    const refresh = ctx.refreshTokens.first();
    const opening = { asked, refresh, trace: asked.traceparent ?? traceparent };
    const grant = await openKnown(opening);
    const verdict =
      grant === undefined ? await openAnew(ctx, opening) : { outcome: 'opened' as const, grant };
    ctx.relay.poke();
    if (verdict.outcome !== 'opened') return verdict;
    const access_token = await ctx.accessTokens.sign(verdict.grant);
    ctx.metrics.tokenIssued.inc({ kind: 'access' });
    ctx.metrics.tokenIssued.inc({ kind: 'refresh' });
    const { expires_in, session_id } = verdict.grant;
    return {
      outcome: 'opened' as const,
      tokens: { access_token, refresh_token: refresh.token, expires_in, session_id },
    };
  };
});

type Verdict = Refused | { readonly outcome: 'opened'; readonly grant: AccessGrant };
interface Refused {
  readonly outcome: 'stale' | 'inactive';
}

/** Takes over what auth says of tenant and user, where token has not heard of it, and opens the session. */
async function openAnew(ctx: TokenContext, opening: Opening): Promise<Verdict> {
  const entries: RevocationEntry[] = [];
  const verdict = await ctx.db.transaction().execute(async (tx): Promise<Verdict> => {
    const refusal =
      (await checkTenant(tx, opening.asked)) ?? (await checkSubject(tx, ctx, { ...opening, entries }));
    return refusal ?? { outcome: 'opened', grant: await begin(tx, ctx, opening) };
  });
  for (const entry of entries) ctx.feed.markLocally(entry);
  return verdict;
}

type Refusal = Refused | undefined;
type Asked = Opening['asked'];

/**
 * The share lock lets sign-ins of one tenant pass side by side and makes whoever disables it wait for their sessions.
 * The tenant comes before the user, and the user before the sessions, everywhere: so nobody deadlocks.
 */
async function checkTenant(tx: TokenTransaction, { subject, tenant_version }: Asked): Promise<Refusal> {
  const read = () =>
    tx.selectFrom('tenant_state').select(['status', 'version']).where('tenant_id', '=', subject.tenant_id);
  const seen = await read().executeTakeFirst();
  if (seen === undefined || seen.version < tenant_version) {
    await sql`
      insert into tenant_state (tenant_id, status, version) values (${subject.tenant_id}, 'active', ${tenant_version})
      on conflict (tenant_id) do update set status = 'active', version = excluded.version, updated_at = now()
      where excluded.version > tenant_state.version`.execute(tx);
  }
  const held = await read().forShare().executeTakeFirstOrThrow();
  if (held.version > tenant_version) return { outcome: 'stale' };
  return held.status === 'active' ? undefined : { outcome: 'inactive' };
}

/** Taking the user over locks the row: who locks the user out at this moment either came first or ends our session. */
async function checkSubject(
  tx: TokenTransaction,
  ctx: TokenContext,
  { asked, trace, entries }: { asked: Asked; trace: string; entries: RevocationEntry[] },
): Promise<Refusal> {
  const { subject } = asked;
  const taken = await takeSubjects(tx, ctx, [subject], {
    reason: 'login',
    actorId: null,
    clientIp: asked.client_ip,
    userAgent: asked.user_agent,
    traceparent: trace,
  });
  entries.push(...taken.entries);
  const held = await tx
    .selectFrom('subject')
    .select(['status', 'version', 'tenant_id'])
    .where('user_id', '=', subject.user_id)
    .executeTakeFirstOrThrow();
  if (held.version > subject.version) return { outcome: 'stale' };
  return held.status === 'active' && held.tenant_id === subject.tenant_id.toLowerCase()
    ? undefined
    : { outcome: 'inactive' };
}

async function begin(
  tx: TokenTransaction,
  ctx: TokenContext,
  { asked, trace, refresh }: Opening,
): Promise<AccessGrant> {
  const { subject, scope, client_ip, user_agent } = asked;
  const { SESSION_ABSOLUTE_TTL_SECONDS: absolute, REFRESH_IDLE_TTL_SECONDS: idle } = ctx.config;
  const times = sql.raw(grantTimes('session.expires_at', ctx.config.ACCESS_TOKEN_TTL_SECONDS));
  const { rows } = await sql<AccessGrant & { expires_at: Date }>`
    with session as (
      insert into session (id, tenant_id, user_id, scope, client_ip, user_agent, expires_at)
      values (${newId()}, ${subject.tenant_id}, ${subject.user_id}, ${scope}, ${client_ip}, ${user_agent},
        now() + ${absolute}::int4 * interval '1 second')
      returning *
    ), first as (
      insert into refresh_token (hash, family_id, generation, expires_at)
      select ${refresh.hash}, id, 0, least(now() + ${idle}::int4 * interval '1 second', expires_at) from session
    )
    select user_id, tenant_id, id as session_id, scope, expires_at,
      to_json(${subject.roles}::text[])::text as roles, ${times} from session`.execute(tx);
  const grant = rows[0];
  if (grant === undefined) throw new Error('the session was not stored');
  await append(tx, {
    type: 'session.created',
    tenant_id: grant.tenant_id,
    aggregate: `session:${grant.session_id}`,
    traceparent: trace,
    data: {
      user_id: grant.user_id,
      client_ip,
      user_agent,
      session_id: grant.session_id,
      expires_at: grant.expires_at.toISOString(),
    },
  });
  return grant;
}
