import { type AnyNewEvent, append, appendMany, EVENT_LANE, Problem } from '@gatehouse/kit';
import { sql } from 'kysely';
import { reissueAccount } from '../account-jwt.ts';
import type { NatsIdentityBase, NatsidTransaction } from '../context.ts';
import type { PushTarget } from './push.ts';
import {
  type Comparison,
  compareAccounts,
  type Difference,
  readAccounts,
  readLists,
  readOperatorKeys,
  readUnowned,
} from './sync-compare.ts';
import { KEPT_STATES, type NamedCluster, WAIT_MS } from './sync-due.ts';
import { recordForeign } from './sync-foreign.ts';

/** The worker's means that a full look uses. */
export interface LookMeans {
  /** @throws ClusterUnreachable while there is no connection */
  readonly target: () => PushTarget;
  /** How many accounts were pushed so far. */
  readonly pushed: () => number;
  /** Begins to push what is due. */
  readonly push: () => void;
  /** false: the worker is over. */
  readonly going: () => boolean;
}

/** What a full look found and did: `cluster.sync_report`. */
export interface SyncReport {
  readonly started_at: string;
  readonly finished_at: string;
  /** Accounts that the servers shall have. */
  readonly accounts: number;
  /** Sent to servers since the look began. */
  readonly pushed: number;
  /** Of all accounts, those proven on every server. */
  readonly proven: number;
  readonly failed: number;
  /** Found to be missing, or to be another one than wanted. */
  readonly drifted: number;
  readonly foreign: number;
  /** Deleted accounts that had come back. */
  readonly returned: number;
}

/** Of what befalls all accounts at once that many are told one by one: a server that lost its disk misses them all. */
const ALIKE_TOLD_MAX = 20;
const befallsAll = ({ kind }: Difference) => kind === 'missing' || kind === 'untrusted';
/** How long what was found to be wrong is waited for; it goes on after the report. */
const SETTLE_MS = 120_000;

/** A registered cluster as a look needs it. */
export interface LookedCluster extends NamedCluster {
  readonly operator_id: string;
}

/**
 * Compares a whole cluster with what it should hold, and wants again whatever differs. Returns the names of servers that
 * are known to hold something else.
 * @throws ClusterUnreachable
 */
export async function lookAtCluster(
  ctx: NatsIdentityBase,
  cluster: LookedCluster,
  means: LookMeans,
): Promise<ReadonlySet<string>> {
  const begun = performance.now();
  const pushedBefore = means.pushed();
  const startedAt = await begin(ctx, cluster);
  const lists = await readLists(means.target());
  const operatorKeys = await readOperatorKeys(ctx, cluster.operator_id);
  const comparison: Comparison = { target: means.target, lists, operatorKeys };
  const drifted = new Set<string>();
  let told = 0;
  let found = 0;
  for await (const page of readAccounts(ctx, cluster)) {
    if (!means.going()) return drifted;
    await wantNew(
      ctx,
      cluster,
      page.flatMap(({ id, wanted }) => (wanted === undefined ? id : [])),
    );
    // What is on its way is not compared: it differs, and will not.
    const settled = page.filter(({ wanted, proven }) => wanted !== undefined && wanted === proven);
    const differences = means.target().presence.stores > 0 ? await compareAccounts(comparison, settled) : [];
    for (const { servers } of differences) for (const name of servers) drifted.add(name);
    const wanted = await wantAgain(ctx, cluster, differences, ALIKE_TOLD_MAX - told);
    told += wanted.alike;
    found += wanted.count;
    if (wanted.count > 0) means.push();
  }
  const unowned = await readUnowned(ctx, cluster.operator_id, lists.stored);
  await recordForeign(ctx, cluster, means.target(), unowned.foreign);
  if (unowned.deleted.size > 0) await sweepNow(ctx, cluster);
  means.push();
  await settle(ctx, cluster, means);
  await finish(ctx, cluster, {
    started_at: startedAt,
    pushed: means.pushed() - pushedBefore,
    drifted: found,
    foreign: unowned.foreign.size,
    returned: unowned.deleted.size,
  });
  ctx.metrics.clusterSyncDuration.observe({ kind: 'full' }, (performance.now() - begun) / 1_000);
  return (await anyUnproven(ctx, cluster)) ? drifted : new Set();
}

/** The next look is due after the interval, or when somebody asks for one after this moment. */
async function begin(ctx: NatsIdentityBase, cluster: NamedCluster): Promise<string> {
  const { rows } = await sql<{ now: Date }>`
    update cluster set full_sync_due_at = now() + ${ctx.config.NATS_SYNC_INTERVAL_SECONDS} * interval '1 second'
    where id = ${cluster.id} returning now()`.execute(ctx.db);
  return (rows[0]?.now ?? new Date()).toISOString();
}

async function wantNew(ctx: NatsIdentityBase, cluster: NamedCluster, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await sql`
    insert into account_sync (cluster_id, account_id) select ${cluster.id}, unnest(${[...ids]}::uuid[])
    on conflict (cluster_id, account_id) do nothing`.execute(ctx.db);
}

/**
 * Wants what differs once more, unless it was changed or proven since it was compared. What is wanted must be newer than
 * what servers hold: else whoever was away brings the other one back (nats-protocol, fact 4).
 */
async function wantAgain(
  ctx: NatsIdentityBase,
  cluster: NamedCluster,
  differences: readonly Difference[],
  alikeToTell: number,
): Promise<{ readonly count: number; readonly alike: number }> {
  if (differences.length === 0) return { count: 0, alike: 0 };
  let alike = 0;
  const again = await ctx.db.transaction().execute(async (tx) => {
    const rows = differences.map(({ account, cause, kind }) => ({
      id: account.id,
      wanted: account.wanted,
      hash: account.hash,
      error: cause,
      // Nothing is sent: it waits for the server's next start.
      waits: kind === 'untrusted',
    }));
    const { rows: marked } = await sql<{ account_id: string }>`
      with mine as (
        select account_id from account_sync
        where cluster_id = ${cluster.id} and account_id = any(${rows.map(({ id }) => id)}::uuid[])
        for update skip locked)
      update account_sync s set
        state = case when v.waits then 'operator_key_untrusted' else 'drifted' end,
        wanted = s.wanted + 1,
        attempts = case when v.waits then 1 else 0 end,
        next_at = now() + case when v.waits then ${WAIT_MS} else 0 end * interval '1 millisecond',
        error = v.error
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        as v(id uuid, wanted bigint, hash text, error text, waits boolean)
      join mine on mine.account_id = v.id
      join account a on a.id = v.id
      where s.cluster_id = ${cluster.id} and s.account_id = v.id and s.wanted = v.wanted and s.proven = v.wanted
        and a.jwt_sha256 = decode(v.hash, 'hex')
      returning s.account_id`.execute(tx);
    const ids = new Set(marked.map(({ account_id }) => account_id));
    const real = differences.filter(({ account }) => ids.has(account.id));
    const events = real.filter((one) => !befallsAll(one) || ++alike <= alikeToTell);
    await appendMany(
      tx,
      events.map((difference) => driftOf(cluster, difference)),
    );
    return real;
  });
  const count = again.length;
  for (const difference of again) if (mustOutdo(difference)) await outdo(ctx, difference);
  if (count > 0) ctx.relay.poke(EVENT_LANE);
  return { count, alike };
}

function driftOf(cluster: NamedCluster, { account, servers, cause }: Difference): AnyNewEvent {
  return {
    type: 'natsid.cluster.drifted',
    tenant_id: null,
    aggregate: `account:${account.id}`,
    traceparent: null,
    data: {
      cluster_id: cluster.id,
      cluster: cluster.name,
      account_key: account.publicKey,
      servers: [...servers],
      cause,
    },
  };
}

/** Ten years: whoever may push could name any time; ours must not follow to the end of numbers. */
const IAT_AHEAD_MAX_SECONDS = 10 * 365 * 86_400;

const mustOutdo = ({ account, other }: Difference): boolean =>
  other !== undefined && other.iat >= account.iat && other.iat < Date.now() / 1_000 + IAT_AHEAD_MAX_SECONDS;

async function outdo(ctx: NatsIdentityBase, { account, other }: Difference): Promise<void> {
  try {
    await ctx.db
      .transaction()
      .execute((tx: NatsidTransaction) => reissueAccount(tx, ctx, account.id, { afterIat: other?.iat ?? 0 }));
  } catch (error) {
    // Its operator's keys are elsewhere: what is wanted goes out as it is, and reaches every server that is there.
    if (!(error instanceof Problem)) throw error;
    ctx.log.warn({ account: account.publicKey, code: error.code }, 'nats account cannot be signed anew');
  }
}

/** Waits until what is due was tried on every server once, for a while. */
async function settle(ctx: NatsIdentityBase, cluster: NamedCluster, means: LookMeans): Promise<void> {
  const until = performance.now() + SETTLE_MS;
  while (means.going() && performance.now() < until) {
    const { rows } = await sql`
      select from account_sync s join account a on a.id = s.account_id and a.state = any(${[...KEPT_STATES]})
      where s.cluster_id = ${cluster.id} and s.proven < s.wanted and s.attempts = 0 limit 1`.execute(ctx.db);
    if (rows.length === 0) return;
    means.push();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What was deleted and came back is deleted again by whoever looks after tombstones. */
async function sweepNow(ctx: NatsIdentityBase, cluster: NamedCluster): Promise<void> {
  await sql`update cluster set sweep_due_at = now() where id = ${cluster.id}`.execute(ctx.db);
}

async function anyUnproven(ctx: NatsIdentityBase, cluster: NamedCluster): Promise<boolean> {
  const { rows } = await sql`
    select from account_sync where cluster_id = ${cluster.id} and proven < wanted limit 1`.execute(ctx.db);
  return rows.length > 0;
}

async function finish(
  ctx: NatsIdentityBase,
  cluster: NamedCluster,
  known: Pick<SyncReport, 'started_at' | 'pushed' | 'drifted' | 'foreign' | 'returned'>,
): Promise<void> {
  await ctx.db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ accounts: number; proven: number; failed: number; now: Date }>`
      select count(*)::int as accounts, count(*) filter (where s.state = 'in_sync')::int as proven,
        count(*) filter (where s.attempts > 0)::int as failed, now() as now
      from account_sync s join account a on a.id = s.account_id and a.state = any(${[...KEPT_STATES]})
      where s.cluster_id = ${cluster.id}`.execute(tx);
    const { accounts = 0, proven = 0, failed = 0, now = new Date() } = rows[0] ?? {};
    const report: SyncReport = { ...known, finished_at: now.toISOString(), accounts, proven, failed };
    await sql`
      update cluster set synced_at = now(), sync_report = ${JSON.stringify(report)}::jsonb
      where id = ${cluster.id}`.execute(tx);
    const { pushed, foreign } = report;
    await append(tx, {
      type: 'natsid.cluster.synced',
      tenant_id: null,
      aggregate: `cluster:${cluster.id}`,
      traceparent: null,
      data: {
        actor_id: null,
        reason: null,
        client_ip: null,
        user_agent: null,
        cluster_id: cluster.id,
        cluster: cluster.name,
        accounts,
        pushed,
        proven,
        failed,
        foreign,
      },
    });
  });
  ctx.relay.poke(EVENT_LANE);
}
