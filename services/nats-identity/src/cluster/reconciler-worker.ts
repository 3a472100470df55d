import type { ServerState } from '@gatehouse/schema';
import { sql } from 'kysely';
import type { NatsIdentityBase } from '../context.ts';
import { type Lease, LeaseLost } from './lease.ts';
import { type PushOutcome, type PushTarget, pushAccount } from './push.ts';
import {
  distrusting,
  type Presence,
  readPresence,
  recordPresence,
  sameServers,
} from './reconciler-presence.ts';
import { inWindow } from './reconciler-window.ts';
import {
  type DueAccount,
  type DueOutcome,
  type Lane,
  readDue,
  recordOutcomes,
  recordUnreachable,
  retryMs,
  wakeAll,
} from './sync-due.ts';
import { lookAtCluster } from './sync-look.ts';
import {
  type ClusterServer,
  ClusterUnreachable,
  NotPermitted,
  openSystemClient,
  type SystemClient,
} from './system-client.ts';

/** A registered cluster as its worker needs it. */
export interface WorkedCluster {
  readonly id: string;
  readonly name: string;
  readonly operator_id: string;
  readonly revision: number;
}

/** Accounts on their way at the same time. */
const WINDOW = 64;
/** A server that takes in a JWT of that many bytes answers nothing else meanwhile, for seconds. */
const HEAVY_BYTES = 100_000;
/** How often is asked who is there. */
const PRESENCE_MS = 2_000;
/** A connection that was lost mostly comes back before this. */
const LOST_TOLD_MS = 3_000;
const LOOK_RETRY = '10 seconds';

/** Everything that one process does for one cluster while it holds the lease. */
export class ClusterWorker {
  readonly #ctx: NatsIdentityBase;
  readonly #cluster: WorkedCluster;
  readonly #lease: Lease;
  readonly #lanes: Record<Lane, Promise<void> | undefined> = { fresh: undefined, retry: undefined };
  readonly #inFlight = new Set<string>();
  #client: SystemClient | undefined;
  #connecting: Promise<void> | undefined;
  #connectAt = 0;
  #connectAttempts = 0;
  #presence: Presence | undefined;
  /** Which connection who is there was asked on, and was told on; 0: none yet. */
  #askedOf = 0;
  #presenceOf = 0;
  #absent: readonly string[] = [];
  #presenceAt = 0;
  #looking: Promise<void> | undefined;
  #present: Promise<void> | undefined;
  #drifted: ReadonlySet<string> = new Set();
  #lostAt: number | undefined;
  /** Why the cluster cannot be reached, in words. */
  #reason = '';
  #pushed = 0;
  #heavy = 0;
  #closed = false;

  constructor(ctx: NatsIdentityBase, cluster: WorkedCluster, lease: Lease) {
    this.#ctx = ctx;
    this.#cluster = cluster;
    this.#lease = lease;
  }

  get revision(): number {
    return Number(this.#cluster.revision);
  }

  /** Renews the lease; false: this worker is over, for the lease is lost or the cluster is another one now. */
  async keep(row: WorkedCluster): Promise<boolean> {
    if (row.revision !== this.#cluster.revision || row.name !== this.#cluster.name) return false;
    return this.#lease.renew();
  }

  /** Begins what there is to do and is not being done. Never waits. */
  tell({ due, look }: { readonly due: boolean; readonly look: boolean }): void {
    if (this.#closed) return;
    if (this.#client === undefined || !this.#client.connected) this.#connect(due);
    else {
      this.#lostAt = undefined;
      const found = this.#askedOf !== this.#client.connections;
      if (found || performance.now() > this.#presenceAt) this.#lookWhoIsThere();
      if (!this.#knowsWhoIsThere()) return;
      if (due) for (const lane of ['fresh', 'retry'] as const) this.#begin(lane);
      if (look && this.#looking === undefined)
        this.#looking = this.#look().finally(() => {
          this.#looking = undefined;
        });
    }
  }

  /** Ends what is under way and lets go of the lease. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#connecting;
    // Ends every question that is waited for.
    await this.#client?.close();
    await Promise.all([this.#lanes.fresh, this.#lanes.retry, this.#looking, this.#present]);
    await this.#lease.release().catch(() => {});
  }

  #connect(due: boolean): void {
    if (this.#connecting !== undefined) return;
    const now = performance.now();
    if (this.#client !== undefined) {
      // It comes back by itself. Who is there is asked again then, before anything is sent.
      this.#lostAt ??= now;
      this.#presenceAt = 0;
      if (now - this.#lostAt < LOST_TOLD_MS) return;
      this.#reason = 'the connection to the cluster is lost';
    }
    const work =
      this.#client !== undefined || now < this.#connectAt ? this.#tellUnreachable(due) : this.#open(due);
    this.#connecting = work
      .catch((err) => this.#ctx.log.warn({ err, cluster: this.#cluster.name }, 'nats cluster work failed'))
      .finally(() => {
        this.#connecting = undefined;
      });
  }

  async #tellUnreachable(due: boolean): Promise<void> {
    if (due && this.#lease.held()) await recordUnreachable(this.#ctx, this.#cluster, this.#reason);
  }

  async #open(due: boolean): Promise<void> {
    try {
      this.#client = await openSystemClient(this.#ctx, this.#cluster.id, 'push');
      this.#connectAttempts = 0;
      this.#lookWhoIsThere();
    } catch (error) {
      if (!(error instanceof ClusterUnreachable)) throw error;
      this.#connectAttempts += 1;
      this.#connectAt = performance.now() + Math.min(5_000, retryMs(this.#connectAttempts));
      if (this.#connectAttempts === 1)
        this.#ctx.log.warn({ err: error, cluster: this.#cluster.name }, 'nats cluster is not reachable');
      this.#reason = `no server lets us in: ${error.message}`;
      await this.#tellUnreachable(due);
    }
  }

  /** Whoever we have found again may have started anew, with other trust: nothing is sent before it was asked. */
  #knowsWhoIsThere(): boolean {
    return this.#client !== undefined && this.#client.connections === this.#presenceOf;
  }

  #lookWhoIsThere(): void {
    // Whoever is busy with what we sent is not away.
    if (this.#present !== undefined || this.#heavy > 0) return;
    this.#askedOf = this.#client?.connections ?? 0;
    this.#present = this.#refreshPresence()
      .catch(async (err) => {
        if (this.#closed) return;
        this.#ctx.log.warn({ err, cluster: this.#cluster.name }, 'nats cluster cannot be asked who is there');
        if (!(err instanceof NotPermitted)) return;
        this.#reason = err.message;
        await this.#tellUnreachable(true);
      })
      .catch(() => {})
      .finally(() => {
        this.#presenceAt = performance.now() + PRESENCE_MS;
        this.#present = undefined;
      });
  }

  /** Who came or started anew is looked at whole; what waited for anybody is tried again. */
  async #refreshPresence(): Promise<void> {
    const client = this.#client;
    if (client === undefined) return;
    const before = this.#presence;
    const { connections } = client;
    const presence = await readPresence(client, before);
    const signer = await this.#signerKey();
    const strangers = new Set(signer === undefined ? [] : distrusting(presence, signer));
    const stateOf = ({ name }: ClusterServer): ServerState =>
      strangers.has(name) ? 'operator_key_untrusted' : this.#drifted.has(name) ? 'drifted' : 'in_sync';
    const absent = await recordPresence(this.#ctx, this.#cluster.id, presence, stateOf);
    const moved =
      before === undefined ||
      !sameServers(before.servers, presence.servers) ||
      absent.join() !== this.#absent.join();
    this.#presence = presence;
    this.#presenceOf = connections;
    this.#absent = absent;
    if (!moved) return;
    await wakeAll(this.#ctx, this.#cluster.id);
    // Who came may hold anything; so may everybody when this process has just taken over.
    const known = new Set(before?.servers.map(({ id }) => id));
    if (presence.servers.some(({ id }) => !known.has(id)))
      await sql`update cluster set full_sync_due_at = now() where id = ${this.#cluster.id}`.execute(
        this.#ctx.db,
      );
    this.tell({ due: true, look: false });
  }

  /** The public key that signs accounts now. */
  async #signerKey(): Promise<string | undefined> {
    const { rows } = await sql<{ public_key: string }>`
      select coalesce(
        (select k.public_key from operator_key k
          where k.operator_id = o.id and k.state = 'active' and k.secret_id is not null
          order by k.created_at desc, k.id desc limit 1),
        o.public_key) as public_key
      from operator o where o.id = ${this.#cluster.operator_id}`.execute(this.#ctx.db);
    return rows[0]?.public_key;
  }

  #begin(lane: Lane): void {
    if (this.#lanes[lane] !== undefined) return;
    this.#lanes[lane] = this.#drain(lane)
      .catch((err) => {
        if (!this.#closed && !(err instanceof ClusterUnreachable) && !(err instanceof LeaseLost))
          this.#ctx.log.warn({ err, cluster: this.#cluster.name }, 'nats accounts cannot be synced');
      })
      .finally(() => {
        this.#lanes[lane] = undefined;
      });
  }

  async #drain(lane: Lane): Promise<void> {
    while (!this.#closed && this.#lease.held()) {
      const batch = await readDue(this.#ctx, this.#cluster.id, lane);
      const mine = batch.filter(({ accountId }) => !this.#inFlight.has(accountId));
      if (mine.length === 0) return;
      for (const { accountId } of mine) this.#inFlight.add(accountId);
      const outcomes: DueOutcome[] = [];
      try {
        await inWindow(mine, WINDOW, async (due) => {
          outcomes.push(await this.#bring(due));
        });
      } finally {
        // Also what was proven before another one failed.
        await recordOutcomes(this.#ctx, this.#cluster, outcomes).finally(() => {
          for (const { accountId } of mine) this.#inFlight.delete(accountId);
        });
      }
    }
  }

  async #bring(due: DueAccount): Promise<DueOutcome> {
    const begun = performance.now();
    const heavy = due.jwt.length > HEAVY_BYTES ? 1 : 0;
    this.#heavy += heavy;
    const outcome = await pushAccount(this.#target(), due)
      .catch((error: unknown) => outcomeOf(error, heavy > 0))
      .finally(() => {
        this.#heavy -= heavy;
      });
    this.#pushed += 1;
    this.#ctx.metrics.clusterSyncDuration.observe({ kind: 'change' }, (performance.now() - begun) / 1_000);
    // Somebody did not answer: who is still there?
    if (outcome.cause === 'unreachable' && !outcome.waits) this.#lookWhoIsThere();
    return { due, outcome };
  }

  #target(): PushTarget {
    const [client, presence] = [this.#client, this.#presence];
    if (client === undefined || presence === undefined || !this.#knowsWhoIsThere())
      throw new ClusterUnreachable('the connection to the cluster is lost');
    return { client, presence, absent: this.#absent, mayPush: () => this.#lease.held() && !this.#closed };
  }

  async #look(): Promise<void> {
    try {
      this.#drifted = await lookAtCluster(this.#ctx, this.#cluster, {
        target: () => this.#target(),
        pushed: () => this.#pushed,
        push: () => this.tell({ due: true, look: false }),
        going: () => !this.#closed && this.#lease.held(),
      });
      this.#presenceAt = 0;
    } catch (err) {
      if (this.#closed) return;
      if (!(err instanceof ClusterUnreachable) && !(err instanceof LeaseLost))
        this.#ctx.log.warn({ err, cluster: this.#cluster.name }, 'nats cluster cannot be looked at');
      await sql`
        update cluster set full_sync_due_at = now() + ${LOOK_RETRY}::interval
        where id = ${this.#cluster.id} and full_sync_due_at > now() + ${LOOK_RETRY}::interval`
        .execute(this.#ctx.db)
        .catch(() => {});
    }
  }
}

/** Failures that are the account's own; those of the connection end the whole batch. */
function outcomeOf(error: unknown, heavy: boolean): PushOutcome {
  const failed = { servers: {}, waits: false } as const;
  // A user without the right to ask is a failure like another: told, and tried again.
  if (error instanceof NotPermitted)
    return { ...failed, state: 'refused', error: error.message, cause: 'refused' };
  // What may have cost us the connection must not be sent again at once, before all others, for ever.
  if (heavy && error instanceof ClusterUnreachable)
    return { ...failed, state: 'unreachable', error: error.message, cause: 'unreachable' };
  throw error;
}
