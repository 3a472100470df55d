import { writeSync } from 'node:fs';
import type { DestinationStream } from 'pino';

/** Where log lines go. */
export interface LogOutput extends DestinationStream {
  /** Writes what waits, before the process ends; gives up after two seconds, or at once where no room is left. */
  flushSync(): void;
}

/** What is kept of lines that cannot be written; later ones are counted. */
const WAITING_MAX_BYTES = 1024 * 1024;
/** A reader that is behind. */
const BUSY_RETRY_MS = 10;
/** A disk without room, a reader that has gone. */
const FAILED_RETRY_MS = 1_000;
const END_PATIENCE_MS = 2_000;

/**
 * Writes lines as they come, and never stands in the way of who logs: nobody is signed in by a process that waits for its
 * log. Where the disk is full or the reader behind, lines wait; what is too much is lost, and `onLost` is told how many
 * once lines can be written again. (pino's own output throws into whoever logs then, and waits for room for ever.)
 */
export function openLogOutput({
  fd,
  onLost,
}: {
  readonly fd: number;
  readonly onLost: (lines: number) => void;
}): LogOutput {
  // Node makes a pipe one that says that it is full, instead of one that waits until it is not, where it is asked for it.
  if (fd === 1) void process.stdout;
  const output = new Output(fd, onLost);
  if (open.size === 0)
    process.on('exit', () => {
      for (const one of open) one.flushSync();
    });
  open.add(output);
  return output;
}

/** What is to be written before the process ends. */
const open = new Set<Output>();

class Output implements LogOutput {
  readonly #fd: number;
  readonly #onLost: (lines: number) => void;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #lost = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(fd: number, onLost: (lines: number) => void) {
    this.#fd = fd;
    this.#onLost = onLost;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#waiting.length > 0 && this.#waitingBytes + bytes.length > WAITING_MAX_BYTES) {
      this.#lost += 1;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#timer === undefined) this.#writeWaiting();
  }

  flushSync(): void {
    const until = performance.now() + END_PATIENCE_MS;
    while (this.#waiting.length > 0 && performance.now() < until) {
      if (this.#tryToWrite() === 'failed') return;
      if (this.#waiting.length > 0) Atomics.wait(still, 0, 0, BUSY_RETRY_MS);
    }
  }

  #writeWaiting(): void {
    const result = this.#tryToWrite();
    if (result !== 'written') {
      this.#timer = setTimeout(
        () => {
          this.#timer = undefined;
          this.#writeWaiting();
        },
        result === 'busy' ? BUSY_RETRY_MS : FAILED_RETRY_MS,
      ).unref();
      return;
    }
    if (this.#lost === 0) return;
    const lost = this.#lost;
    this.#lost = 0;
    this.#onLost(lost);
  }

  #tryToWrite(): 'written' | 'busy' | 'failed' {
    try {
      for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
        const written = writeSync(this.#fd, next);
        this.#waitingBytes -= written;
        if (written < next.length) this.#waiting[0] = next.subarray(written);
        else this.#waiting.shift();
      }
      return 'written';
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === 'EAGAIN' || code === 'EBUSY' ? 'busy' : 'failed';
    }
  }
}

const still = new Int32Array(new SharedArrayBuffer(4));
