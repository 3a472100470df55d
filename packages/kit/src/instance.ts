import { Client, Pool } from 'undici';

/**
 * How an instance stands, best first. Requests go to the best there are: when none is ready, because the bus is away
 * for all of them, those that still serve are used as ever.
 */
export const standings = ['ready', 'unready', 'draining', 'starting', 'silent'] as const;
export type Standing = (typeof standings)[number];

/** How often an instance is asked: one that is ready, to hear that it drains well before it goes; another, to use it again. */
const READY_EVERY_MS = 1_000;
const OTHERWISE_EVERY_MS = 250;
/** However often requests ask for a look: answers that end their connection, such as 413, may come in floods. */
const LOOKS_APART_MS = 50;
const PROBE_TIMEOUT_MS = 2_000;

/** What an instance is made with. */
export interface InstanceOptions {
  readonly pool: Pool.Options;
  /** Hears each change. */
  readonly onStanding: (instance: Instance) => void;
}

/** One instance of a service, the connections to it, and how it stands as far as is known. */
export class Instance {
  readonly origin: string;
  readonly pool: Pool;
  /** Requests without an answer. */
  outstanding = 0;
  readonly #onStanding: InstanceOptions['onStanding'];
  readonly #probe: Client;
  #standing: Standing = 'ready';
  // Grows with what requests find out: a probe sent before then tells of the past.
  #news = 0;
  #looking = false;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #watched = false;

  constructor(origin: string, { pool, onStanding }: InstanceOptions) {
    this.origin = origin;
    this.#onStanding = onStanding;
    this.pool = new Pool(origin, pool);
    this.pool.on('disconnect', (_origin, _targets, error) => {
      // UND_ERR_INFO: the connection was idle for long, or its last answer said that it would close.
      if ((error as { code?: string }).code !== 'UND_ERR_INFO') this.suspect();
    });
    this.#probe = new Client(origin, {
      connect: { timeout: PROBE_TIMEOUT_MS },
      headersTimeout: PROBE_TIMEOUT_MS,
      bodyTimeout: PROBE_TIMEOUT_MS,
    });
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** Begins to ask it how it stands. */
  watch(): void {
    this.#watched = true;
    void this.#look();
  }

  /** A request could not reach it: it is used again when it says that it is ready. */
  unreachable(): void {
    if (!this.#watched) return;
    this.#news += 1;
    this.#stand('silent');
    this.suspect();
  }

  /** It may have changed: it is asked at once. */
  suspect(): void {
    if (!this.#watched || this.#looking) return;
    this.#lookIn(Math.max(0, this.#lookedAt + LOOKS_APART_MS - performance.now()));
  }

  async close(): Promise<void> {
    this.#watched = false;
    clearTimeout(this.#timer);
    await Promise.all([this.pool.close(), this.#probe.destroy()]);
  }

  async #look(): Promise<void> {
    this.#looking = true;
    const news = this.#news;
    const standing = await this.#ask();
    this.#looking = false;
    this.#lookedAt = performance.now();
    if (!this.#watched) return;
    if (news === this.#news) this.#stand(standing);
    this.#lookIn(this.#standing === 'ready' ? READY_EVERY_MS : OTHERWISE_EVERY_MS);
  }

  #lookIn(waitMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), waitMs).unref();
  }

  async #ask(): Promise<Standing> {
    try {
      const { statusCode, body } = await this.#probe.request({ path: '/health/ready', method: 'GET' });
      const said = (await body.json()) as { status?: unknown };
      if (statusCode === 200) return 'ready';
      return said.status === 'draining' || said.status === 'starting' ? said.status : 'unready';
    } catch {
      return 'silent';
    }
  }

  #stand(standing: Standing): void {
    if (standing === this.#standing) return;
    this.#standing = standing;
    this.#onStanding(this);
  }
}
