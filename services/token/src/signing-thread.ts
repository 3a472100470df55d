import type { KeyObject } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { SigningAlgorithm } from '@gatehouse/schema';

interface Waiting {
  readonly id: number;
  readonly input: string;
  readonly resolve: (signature: string) => void;
  readonly reject: (error: Error) => void;
}

/** One message holds a millisecond of RS256 at most: the first answers need not wait for the last signature. */
const TOGETHER_MAX = 4;
/** How often what a thread died over is tried again on a new one. */
const ATTEMPTS_MAX = 2;

/**
 * Signs off the event loop, on one thread of its own. WebCrypto wakes a thread of the pool for each signature, which
 * on a busy machine cost more than the signature (87 µs against 54 µs for ES256); here everything that one turn of the
 * event loop brought goes over in one message. One thread makes 3,800 RS256 or 18,000 ES256 signatures a second, more
 * than one event loop can ask for.
 */
class SigningThread {
  #worker: Worker | undefined;
  readonly #keys = new Map<number, { readonly algorithm: SigningAlgorithm; readonly key: KeyObject }>();
  readonly #underWay = new Map<number, { readonly waiting: readonly Waiting[]; readonly attempt: number }>();
  #queue: Waiting[] = [];
  #lastKey = 0;
  #lastBatch = 0;

  /** Makes a key known; the id is for {@link sign}. */
  learn(key: KeyObject, algorithm: SigningAlgorithm): number {
    this.#lastKey += 1;
    this.#keys.set(this.#lastKey, { algorithm, key });
    this.#worker?.postMessage({ learn: this.#lastKey, algorithm, key });
    return this.#lastKey;
  }

  /** The signature of `input` (latin1) as base64url. */
  sign(id: number, input: string): Promise<string> {
    return new Promise((resolve, reject) => {
      // After the poll phase: by then every answer of the database that has arrived has asked for its signature.
      if (this.#queue.length === 0) setImmediate(() => this.#flush());
      this.#queue.push({ id, input, resolve, reject });
    });
  }

  #flush(): void {
    const waiting = this.#queue;
    this.#queue = [];
    for (let at = 0; at < waiting.length; at += TOGETHER_MAX)
      this.#send(waiting.slice(at, at + TOGETHER_MAX), 1);
  }

  #send(waiting: readonly Waiting[], attempt: number): void {
    this.#lastBatch += 1;
    const batch = this.#lastBatch;
    this.#worker ??= this.#start();
    // An idle thread keeps no process alive; one that owes signatures does.
    if (this.#underWay.size === 0) this.#worker.ref();
    this.#underWay.set(batch, { waiting, attempt });
    this.#worker.postMessage({
      batch,
      ids: waiting.map(({ id }) => id),
      inputs: waiting.map(({ input }) => input),
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL('./signing-worker.mjs', import.meta.url));
    for (const [learn, { algorithm, key }] of this.#keys) worker.postMessage({ learn, algorithm, key });
    worker.on('message', ({ batch, signatures }: { batch: number; signatures: string[] }) => {
      const done = this.#underWay.get(batch);
      this.#underWay.delete(batch);
      if (this.#underWay.size === 0) worker.unref();
      for (const [at, { resolve }] of (done?.waiting ?? []).entries()) resolve(signatures[at] ?? '');
    });
    worker.on('error', (error: Error) => this.#died(worker, error));
    worker.on('exit', () => this.#died(worker, new Error('the signing thread ended')));
    worker.unref();
    return worker;
  }

  #died(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const owed = [...this.#underWay.values()];
    this.#underWay.clear();
    for (const { waiting, attempt } of owed) {
      if (attempt < ATTEMPTS_MAX) this.#send(waiting, attempt + 1);
      else for (const { reject } of waiting) reject(error);
    }
  }
}

/** The thread of this process. */
export const signingThread: Pick<SigningThread, 'learn' | 'sign'> = new SigningThread();
