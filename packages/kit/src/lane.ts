const BACKOFF_MAX_MS = 5_000;

/** What one batch of a lane came to. */
export interface Flushed {
  readonly found: number;
  readonly failed: boolean;
  /** The batch was full: there may be more at once. */
  readonly more?: boolean;
}

/** Runs the batches of one lane, one at a time: when poked, at once again while there is more, later after a failure. */
export class Lane {
  readonly #waitMs: () => number;
  readonly #flush: () => Promise<Flushed>;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<Flushed> | undefined;
  #poked = false;
  #failures = 0;
  #retryAt = 0;
  #stopped = false;

  constructor(waitMs: () => number, flush: () => Promise<Flushed>) {
    this.#waitMs = waitMs;
    this.#flush = flush;
  }

  poke(): void {
    this.#poked = true;
    if (this.#timer !== undefined || this.#running !== undefined || this.#stopped) return;
    const backoffMs = this.#retryAt - performance.now();
    this.#timer = setTimeout(() => void this.#run(), backoffMs > 0 ? backoffMs : this.#waitMs());
  }

  /** Forgets about failures: what was broken is whole again. */
  wake(): void {
    this.#failures = 0;
    this.#retryAt = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.poke();
  }

  /** When the batch under way, if there is one, has ended. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** One batch, after the one under way. */
  async now(): Promise<Flushed> {
    while (this.#running !== undefined) await this.#running;
    return this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<Flushed> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#poked = false;
    this.#running = this.#flush();
    const result = await this.#running;
    this.#running = undefined;
    this.#failures = result.failed ? this.#failures + 1 : 0;
    this.#retryAt = result.failed
      ? performance.now() + Math.min(BACKOFF_MAX_MS, 50 * 2 ** Math.min(this.#failures, 10))
      : 0;
    if (this.#stopped) return result;
    // A full batch means a backlog: on with it, but let the event loop turn first.
    if (result.more && !result.failed) setImmediate(() => this.#resume());
    else if (this.#poked || result.failed) this.poke();
    return result;
  }

  #resume(): void {
    if (this.#timer === undefined && this.#running === undefined && !this.#stopped) void this.#run();
  }
}
