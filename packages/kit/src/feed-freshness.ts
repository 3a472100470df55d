/** `{seq, at}`: every revocation committed up to shortly before `at` lies in the stream, at `seq` or before. */
export interface Heartbeat {
  readonly seq: number;
  /** Unix milliseconds by the sender's clock. Only differences count, so its clock need not be ours. */
  readonly at: number;
}

/** The heartbeat in a message, or undefined when it is none. */
export function readHeartbeat(text: string): Heartbeat | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('seq' in value) || !('at' in value))
      return undefined;
    const { seq } = value;
    const at = typeof value.at === 'string' ? Date.parse(value.at) : value.at;
    if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 0) return undefined;
    return typeof at === 'number' && Number.isFinite(at) ? { seq, at } : undefined;
  } catch {
    return undefined;
  }
}

/** A stream that stood at N this long ago and stands lower now is another stream. */
const SETTLED_MS = 2000;
const WINDOW_MS = 10_000;

/**
 * How far one reading of the stream has come, and since when a heartbeat has vouched for that. All times are monotonic
 * milliseconds, given by the caller.
 */
export class FeedFreshness {
  /** Everything in the stream up to here has been taken in; -1 while nothing is known. */
  #processed = -1;
  /** Heartbeats that speak of entries still on their way to us. */
  #waiting: { seq: number; arrivedAt: number }[] = [];
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #confirmed: { seq: number; since: number } | undefined;
  #movedAt: number;
  #heardAt = Number.NEGATIVE_INFINITY;
  readonly #staleAfterMs: number;
  readonly #lateness: Lateness;

  constructor(options: { staleAfterMs: number; lateness: Lateness; now: number }) {
    this.#staleAfterMs = options.staleAfterMs;
    this.#lateness = options.lateness;
    this.#movedAt = options.now;
  }

  /** Whether all revocations that count by now are known. */
  fresh(now: number): boolean {
    return now - this.#confirmedAt < this.#staleAfterMs;
  }

  /** Everything up to `seq` is taken in and nothing before it is left to come. */
  reached(seq: number, now: number): void {
    this.#movedAt = now;
    this.#processed = Math.max(this.#processed, seq);
    this.#waiting = this.#waiting.filter((one) => !this.#confirm(one.seq, one.arrivedAt));
  }

  /** @returns `backwards` when the stream is not the one that was read so far. */
  heartbeat({ seq, at }: Heartbeat, now: number): 'taken' | 'backwards' {
    this.#heardAt = now;
    const known = this.#confirmed;
    if (known !== undefined && seq < known.seq && now - known.since > SETTLED_MS) return 'backwards';
    // One that lay in a buffer (ours, while this process stood still, or the network's) says what was true long ago.
    const arrivedAt = now - this.#lateness.of(at, now);
    this.#waiting = this.#waiting.filter((one) => now - one.arrivedAt < this.#staleAfterMs);
    if (!this.#confirm(seq, arrivedAt)) this.#waiting.push({ seq, arrivedAt });
    return 'taken';
  }

  /** Heartbeats come, and speak of entries that do not: they were purged, or the reading is broken. */
  stuck(now: number, afterMs: number): boolean {
    const heard = now - this.#heardAt < this.#staleAfterMs;
    return heard && !this.fresh(now) && now - this.#movedAt > afterMs;
  }

  #confirm(seq: number, arrivedAt: number): boolean {
    if (seq > this.#processed) return false;
    this.#confirmedAt = Math.max(this.#confirmedAt, arrivedAt);
    if (this.#confirmed === undefined || seq > this.#confirmed.seq)
      this.#confirmed = { seq, since: arrivedAt };
    return true;
  }
}

/**
 * By how much a message took longer than the fastest of the last ten to twenty seconds. A sender whose clock is set
 * back looks late for that long, and the database is asked meanwhile.
 */
export class Lateness {
  #windowEndsAt = Number.NEGATIVE_INFINITY;
  #before = Number.POSITIVE_INFINITY;
  #current = Number.POSITIVE_INFINITY;

  of(sentAt: number, now: number): number {
    if (now >= this.#windowEndsAt) {
      this.#windowEndsAt = now + WINDOW_MS;
      this.#before = this.#current;
      this.#current = Number.POSITIVE_INFINITY;
    }
    const offset = now - sentAt;
    this.#current = Math.min(this.#current, offset);
    return offset - Math.min(this.#current, this.#before);
  }
}
