import { newId } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { NatsIdentityBase, Reconciler } from '../context.ts';
import { takeLease } from './lease.ts';
import { pushCauses } from './push.ts';
import { ClusterWorker } from './reconciler-worker.ts';
import { KEPT_STATES } from './sync-due.ts';

/** How late a change is noticed that another instance committed. */
const POLL_MS = 250;

/** Brings every cluster to what the database says. */
export function createReconciler(ctx: NatsIdentityBase): Reconciler {
  return new Reconciling(ctx);
}

interface ClusterRow {
  readonly id: string;
  readonly name: string;
  readonly operator_id: string;
  readonly revision: number;
  readonly free: boolean;
  readonly due: boolean;
  readonly look_due: boolean;
}

/** One loop: takes the leases of clusters that nobody serves, and tells their workers what there is to do. */
class Reconciling implements Reconciler {
  readonly #ctx: NatsIdentityBase;
  /** Of this process: who it is in lease rows. */
  readonly #holder = newId();
  readonly #workers = new Map<string, ClusterWorker>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #started = false;
  #complained = false;

  constructor(ctx: NatsIdentityBase) {
    this.#ctx = ctx;
    for (const cause of pushCauses) ctx.metrics.clusterSyncErrors.inc({ cause }, 0);
  }

  poke(): void {
    if (!this.#started) return;
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#running = this.#turn().finally(() => {
      this.#running = undefined;
      if (!this.#started) return;
      if (this.#again) {
        this.#again = false;
        this.poke();
      } else this.#timer = setTimeout(() => this.poke(), POLL_MS).unref();
    });
  }

  serving(): readonly { readonly id: string; readonly revision: number }[] {
    return [...this.#workers].map(([id, { revision }]) => ({ id, revision }));
  }

  start(): void {
    this.#started = true;
    this.poke();
  }

  async stop(): Promise<void> {
    this.#started = false;
    clearTimeout(this.#timer);
    await this.#running;
    await Promise.all([...this.#workers.values()].map((worker) => worker.close()));
    this.#workers.clear();
  }

  async #turn(): Promise<void> {
    try {
      const rows = await this.#read();
      for (const row of rows) await this.#serve(row);
      for (const [id, worker] of this.#workers)
        if (!rows.some((row) => row.id === id)) await this.#leave(id, worker);
      this.#complained = false;
    } catch (err) {
      if (!this.#complained) this.#ctx.log.warn({ err }, 'nats clusters cannot be looked after');
      this.#complained = true;
    }
  }

  async #read(): Promise<ClusterRow[]> {
    const { rows } = await sql<ClusterRow>`
      select id, name, operator_id, revision,
        (lease_holder is null or lease_holder = ${this.#holder} or lease_until < now()) as free,
        exists (
          select from account_sync s join account a on a.id = s.account_id and a.state = any(${[...KEPT_STATES]})
          where s.cluster_id = c.id and s.proven < s.wanted and s.next_at <= now()) as due,
        full_sync_due_at <= now() as look_due
      from cluster c order by id`.execute(this.#ctx.db);
    return rows;
  }

  async #serve(row: ClusterRow): Promise<void> {
    let worker = this.#workers.get(row.id);
    if (worker !== undefined && !(await worker.keep(row))) {
      await this.#leave(row.id, worker);
      worker = undefined;
    }
    if (worker === undefined) {
      const lease = row.free ? await takeLease(this.#ctx, row.id, this.#holder) : undefined;
      if (lease === undefined) return;
      worker = new ClusterWorker(this.#ctx, row, lease);
      this.#workers.set(row.id, worker);
    }
    worker.tell({ due: row.due, look: row.look_due });
  }

  async #leave(id: string, worker: ClusterWorker): Promise<void> {
    this.#workers.delete(id);
    await worker.close();
  }
}
