import type { LastSeenWatch, NatsIdentityBase, Reconciler } from '../context.ts';
import { LastSeen } from './record-last-seen.ts';
import { ClusterUnreachable, NotPermitted, openSystemClient, type SystemClient } from './system-client.ts';

const TURN_MS = 2_000;
/** Events are lossy (nats-protocol, pitfall 23): so often all connections are asked for. */
const POLL_MS = 60_000;
const RETRY_MS = 10_000;
/** Connections in one answer of one server: with a JWT each, well below what a message may have. */
const PAGE = 256;
const PAGES_MAX = 400;

/**
 * Watches the clusters that this process looks after, as a user that can do nothing else: it sees the JWT of everybody
 * who connects, so it is never the user that pushes.
 */
export function watchLastSeen(ctx: NatsIdentityBase, reconciler: Reconciler): LastSeenWatch {
  const seen = new LastSeen(ctx);
  const watched = new Map<string, Watched>();
  let timer: NodeJS.Timeout | undefined;
  let turn: Promise<void> = Promise.resolve();
  let stopped = false;
  const next = () => {
    const work = follow(ctx, watched, { serving: reconciler.serving(), seen });
    const failed = (err: unknown) => ctx.log.warn({ err }, 'nats connections cannot be watched');
    turn = work.catch(failed).finally(() => {
      if (!stopped) timer = setTimeout(next, TURN_MS).unref();
    });
  };
  return {
    start: () => {
      timer = setTimeout(next, TURN_MS / 4).unref();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await turn;
      await Promise.all([...watched.values()].map((one) => one.close()));
      await seen.write();
    },
  };
}

async function follow(
  ctx: NatsIdentityBase,
  watched: Map<string, Watched>,
  { serving, seen }: { readonly serving: ReturnType<Reconciler['serving']>; readonly seen: LastSeen },
): Promise<void> {
  const wanted = new Map(serving.map(({ id, revision }) => [`${id} ${revision}`, id]));
  for (const [key, one] of watched)
    if (!wanted.has(key)) {
      watched.delete(key);
      await one.close();
    }
  for (const [key, id] of wanted) if (!watched.has(key)) watched.set(key, new Watched(ctx, id, seen));
  for (const one of watched.values()) one.tick();
  await seen.write();
}

/** One cluster that is watched. */
class Watched {
  readonly #ctx: NatsIdentityBase;
  readonly #clusterId: string;
  readonly #seen: LastSeen;
  #client: SystemClient | undefined;
  #work: Promise<void> | undefined;
  #openAt = 0;
  #pollAt = 0;
  #closed = false;

  constructor(ctx: NatsIdentityBase, clusterId: string, seen: LastSeen) {
    this.#ctx = ctx;
    this.#clusterId = clusterId;
    this.#seen = seen;
  }

  /** Begins what is due, and never waits. */
  tick(): void {
    const now = performance.now();
    if (this.#closed || this.#work !== undefined) return;
    if (this.#client === undefined) {
      if (now >= this.#openAt) this.#begin(this.#open());
    } else if (now >= this.#pollAt && this.#client.connected) {
      this.#pollAt = now + POLL_MS;
      this.#begin(this.#poll(this.#client));
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    // Ends every question that is waited for.
    await this.#client?.close();
    await this.#work;
    await this.#client?.close();
  }

  #begin(work: Promise<void>): void {
    this.#work = work
      .catch((err) => {
        if (this.#closed || err instanceof ClusterUnreachable || err instanceof NotPermitted) return;
        this.#ctx.log.warn({ err, cluster: this.#clusterId }, 'nats connections cannot be watched');
      })
      .finally(() => {
        this.#work = undefined;
      });
  }

  async #open(): Promise<void> {
    this.#openAt = performance.now() + RETRY_MS;
    const client = await openSystemClient(this.#ctx, this.#clusterId, 'watch');
    client.nc.subscribe('$SYS.ACCOUNT.*.CONNECT', {
      callback: (error, msg) => {
        if (error === null) this.#heard(msg.data);
      },
    });
    this.#client = client;
  }

  #heard(data: Uint8Array): void {
    try {
      const { client } = JSON.parse(Buffer.from(data).toString('utf8'));
      this.#seen.saw(client?.user, client?.jwt, timeOf(client?.start));
    } catch {
      // An event that cannot be read says nothing; and it may hold a JWT, so it is not shown either.
    }
  }

  /** Asks all servers for all connections, page by page. */
  async #poll(client: SystemClient): Promise<void> {
    const expect = (await client.servers()).length;
    for (let page = 0; page < PAGES_MAX && !this.#closed; page += 1) {
      const query = JSON.stringify({ auth: true, limit: PAGE, offset: page * PAGE });
      const { replies } = await client.requestAll('$SYS.REQ.SERVER.PING.CONNZ', query, { expect });
      let more = false;
      for (const { data } of replies) {
        const { connections, total } = (data ?? {}) as { connections?: unknown; total?: unknown };
        if (!Array.isArray(connections)) continue;
        for (const one of connections) this.#seen.saw(one?.authorized_user, one?.jwt, new Date());
        if (Number(total) > (page + 1) * PAGE) more = true;
      }
      if (!more) return;
    }
  }
}

function timeOf(start: unknown): Date {
  const time = new Date(String(start));
  return Number.isFinite(time.getTime()) ? time : new Date();
}
