import { type AnyNewEvent, appendMany, EVENT_LANE } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { NatsIdentityBase } from '../context.ts';
import type { PushAccount, PushOutcome } from './push.ts';

/** Accounts that are being deleted are not brought anywhere: the deletion looks after them. */
export const KEPT_STATES = ['active', 'locked', 'purging'] as const;

/** An account that some server does not have yet as it shall be. */
export interface DueAccount extends PushAccount {
  readonly accountId: string;
  /** What is proven when all servers have what was read here. */
  readonly wanted: number;
}

/** What is tried for the first time, or what failed before: neither waits for the other. */
export type Lane = 'fresh' | 'retry';

const BATCH_ACCOUNTS = 256;
/** JWTs of one batch: an account's may have a megabyte. */
const BATCH_BYTES = 16 * 1024 * 1024;

/**
 * The newest changes first: a change made while ten thousand accounts go to a new cluster does not wait for them. Always
 * the JWT of now: an older one must never reach a server after a newer one.
 */
export async function readDue(ctx: NatsIdentityBase, clusterId: string, lane: Lane): Promise<DueAccount[]> {
  const tried = sql.raw(lane === 'fresh' ? 's.attempts = 0' : 's.attempts > 0');
  const { rows } = await sql<{
    account_id: string;
    wanted: number;
    public_key: string;
    jwt: string;
    hash: string;
    issuer_key: string;
  }>`
    select account_id, wanted, public_key, jwt, hash, issuer_key from (
      select s.account_id, s.wanted, s.next_at, a.public_key, a.jwt, encode(a.jwt_sha256, 'hex') as hash, a.issuer_key,
        sum(length(a.jwt)) over (order by s.next_at desc, s.account_id) as bytes, length(a.jwt) as mine
      from (
        select s.account_id, s.wanted, s.next_at from account_sync s
        join account a on a.id = s.account_id and a.state = any(${[...KEPT_STATES]})
        where s.cluster_id = ${clusterId} and s.proven < s.wanted and s.next_at <= now() and ${tried}
        order by s.next_at desc limit ${BATCH_ACCOUNTS}) s
      join account a on a.id = s.account_id) due
    where bytes - mine < ${BATCH_BYTES}
    order by next_at desc, account_id`.execute(ctx.db);
  return rows.map((row) => ({
    accountId: row.account_id,
    wanted: Number(row.wanted),
    publicKey: row.public_key,
    jwt: row.jwt,
    hash: row.hash,
    issuer: row.issuer_key,
    expiresAt: expiryOf(row.jwt),
    sentBefore: lane === 'retry',
  }));
}

/** `exp` of a JWT that we made ourselves. */
function expiryOf(jwt: string): number | undefined {
  const { exp } = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8'));
  return typeof exp === 'number' && exp > 0 ? exp : undefined;
}

/** A cluster as events name it. */
export interface NamedCluster {
  readonly id: string;
  readonly name: string;
}

/** What became of one account. */
export interface DueOutcome {
  readonly due: DueAccount;
  readonly outcome: PushOutcome;
}

/** Half a second, then twice as long each time. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 60_000;
/** For what trying again does not help; whatever it waits for wakes it. */
export const WAIT_MS = 300_000;

/** How long until the next attempt; a fleet does not come back in step. */
export function retryMs(attempts: number, random: number = Math.random()): number {
  const most = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(attempts, 16));
  return most * (0.75 + random / 4);
}

/**
 * Writes down what was proven and what was not, with one statement. What changed meanwhile stays wanted. An episode of
 * failures is told once, at its beginning.
 */
export async function recordOutcomes(
  ctx: NatsIdentityBase,
  cluster: NamedCluster,
  outcomes: readonly DueOutcome[],
): Promise<void> {
  if (outcomes.length === 0) return;
  const byId = new Map(outcomes.map((one) => [one.due.accountId, one]));
  const rows = outcomes.map(({ due, outcome }) => ({
    account_id: due.accountId,
    wanted: due.wanted,
    state: outcome.state,
    servers: outcome.servers,
    error: outcome.error,
    waits: outcome.waits,
    chance: 0.75 + Math.random() / 4,
  }));
  const told = await ctx.db.transaction().execute(async (tx) => {
    // What somebody is changing right now is left to them: it is wanted anew, and no two of us wait for each other.
    const { rows: failed } = await sql<{ account_id: string }>`
      with mine as (
        select account_id from account_sync
        where cluster_id = ${cluster.id} and account_id = any(${[...byId.keys()]}::uuid[])
        for update skip locked)
      update account_sync s set
        proven = case when v.state = 'in_sync' then greatest(s.proven, v.wanted) else s.proven end,
        proven_at = case when v.state = 'in_sync' then now() else s.proven_at end,
        state = case when s.wanted > v.wanted then 'pending' else v.state end,
        servers = v.servers,
        error = v.error,
        attempts = case when s.wanted > v.wanted or v.state = 'in_sync' then 0 else s.attempts + 1 end,
        next_at = case
          when s.wanted > v.wanted or v.state = 'in_sync' then s.next_at
          when v.waits then now() + ${WAIT_MS} * interval '1 millisecond'
          else now() + v.chance * least(${RETRY_MAX_MS}, ${RETRY_FIRST_MS} * 2 ^ least(s.attempts, 16))
            * interval '1 millisecond' end
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        as v(account_id uuid, wanted bigint, state text, servers jsonb, error text, waits boolean, chance float8)
      join mine on mine.account_id = v.account_id
      where s.cluster_id = ${cluster.id} and s.account_id = v.account_id
      returning case when s.attempts = 1 and v.state <> 'in_sync' then s.account_id end as account_id`.execute(
      tx,
    );
    const begun = failed.flatMap(({ account_id }) => byId.get(account_id) ?? []);
    await appendMany(
      tx,
      begun.map((one) => failureOf(cluster, one)),
    );
    return begun.length;
  });
  for (const { outcome } of outcomes)
    if (outcome.cause !== undefined) ctx.metrics.clusterSyncErrors.inc({ cause: outcome.cause });
  if (told > 0) ctx.relay.poke(EVENT_LANE);
}

function failureOf(cluster: NamedCluster, { due, outcome }: DueOutcome): AnyNewEvent {
  const wrong = Object.entries(outcome.servers).filter(([, { error }]) => error !== undefined);
  return {
    type: 'natsid.sync.failed',
    tenant_id: null,
    aggregate: `account:${due.accountId}`,
    traceparent: null,
    data: {
      actor_id: null,
      reason: null,
      client_ip: null,
      user_agent: null,
      cluster_id: cluster.id,
      cluster: cluster.name,
      account_id: due.accountId,
      account_key: due.publicKey,
      servers: wrong.map(([name]) => name),
      cause: outcome.error ?? '',
      attempts: 1,
    },
  };
}

/** Most accounts whose failure is told one by one when a whole cluster is away; its health tells the rest. */
const UNREACHABLE_TOLD_MAX = 20;

/** Says of everything that is due that the cluster cannot be reached: silence would look like patience. */
export async function recordUnreachable(
  ctx: NatsIdentityBase,
  cluster: NamedCluster,
  reason: string,
): Promise<void> {
  await ctx.db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ account_id: string; public_key: string | null }>`
      with due as (
        select account_id from account_sync
        where cluster_id = ${cluster.id} and proven < wanted and next_at <= now()
        for update skip locked)
      update account_sync s set
        state = 'unreachable', error = ${reason}, attempts = s.attempts + 1,
        next_at = now() + (0.75 + random() / 4) * least(${RETRY_MAX_MS}, ${RETRY_FIRST_MS} * 2 ^ least(s.attempts, 16))
          * interval '1 millisecond'
      from due join account a on a.id = due.account_id and a.state = any(${[...KEPT_STATES]})
      where s.cluster_id = ${cluster.id} and s.account_id = due.account_id
      returning s.account_id, case when s.attempts = 1 then a.public_key end as public_key`.execute(tx);
    const begun = rows.filter(({ public_key }) => public_key !== null).slice(0, UNREACHABLE_TOLD_MAX);
    const outcome: PushOutcome = {
      state: 'unreachable',
      servers: {},
      error: reason,
      cause: 'unreachable',
      waits: false,
    };
    await appendMany(
      tx,
      begun.map((row) =>
        failureOf(cluster, {
          due: { accountId: row.account_id, publicKey: row.public_key } as DueAccount,
          outcome,
        }),
      ),
    );
    if (rows.length > 0) ctx.metrics.clusterSyncErrors.inc({ cause: 'unreachable' }, rows.length);
  });
}

/** Somebody came, went or started anew: what waited for that is tried now. */
export async function wakeAll(ctx: NatsIdentityBase, clusterId: string): Promise<void> {
  await sql`
    with waiting as (
      select account_id from account_sync
      where cluster_id = ${clusterId} and proven < wanted and next_at > now()
      for update skip locked)
    update account_sync s set next_at = now() from waiting
    where s.cluster_id = ${clusterId} and s.account_id = waiting.account_id`.execute(ctx.db);
}
