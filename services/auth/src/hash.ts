import { createHmac, randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type ParsedHashOptions, parseOptions } from '@node-rs/argon2';
import { Piscina } from 'piscina';
import { createAdmission } from './hash-admission.ts';

export interface HasherOptions {
  /** KiB of memory a hash; default 65,536. */
  readonly memoryKib?: number;
  /** Passes over the memory; default 3. */
  readonly iterations?: number;
  /** Lanes; default 1. */
  readonly parallelism?: number;
  /** Hashes at the same time, each in a thread of its own; default: the cores. */
  readonly maxConcurrent?: number;
  /** Longest wait for a free thread, in ms; default 60. As many may wait as may run; the next is refused at once. */
  readonly queueWaitMs?: number;
  /** Secret mixed into every new hash (argon2's own secret input, RFC 9106 §3.1 K). */
  readonly pepper?: Uint8Array | undefined;
  /** Peppers of old: hashes made with them still verify, as outdated. */
  readonly formerPeppers?: readonly Uint8Array[];
  /** How far the threads stand back from the event loop and the database on Unix; default 10. */
  readonly niceIncrement?: number;
  /** One call was refused for want of a thread. */
  readonly onBusy?: () => void;
  /** Time from admission to result and time waited before it, in seconds. */
  readonly onDone?: (times: { hashSeconds: number; waitSeconds: number }) => void;
}

/** What a worker thread is asked to do (hash-worker.mjs). */
export type HashTask =
  | {
      readonly kind: 'hash';
      readonly password: string;
      readonly memoryKib: number;
      readonly iterations: number;
      readonly parallelism: number;
      readonly pepper: Uint8Array | undefined;
    }
  | {
      readonly kind: 'verify';
      readonly password: string;
      readonly phc: string;
      readonly pepper: Uint8Array | undefined;
    };

/** Refused for want of a thread: answer 503 `hash_busy`. */
export interface HashBusy {
  readonly outcome: 'busy';
  /** For `Retry-After`. */
  readonly retryAfterSeconds: number;
}

export type HashOutcome = { readonly outcome: 'hashed'; readonly phc: string } | HashBusy;

export type VerifyOutcome =
  | {
      readonly outcome: 'verified';
      readonly match: boolean;
      /** The stored hash has other parameters or another pepper than new ones get: hash again while the password is at hand. */
      readonly outdated: boolean;
      /**
       * The stored hash could not be used: not argon2id, or its pepper is no longer configured. It took the time of a
       * wrong password all the same; log it, an operator must know.
       */
      readonly fault?: 'unreadable_hash' | 'unknown_pepper';
    }
  | HashBusy;

/** Password hashing with argon2id (RFC 9106), off the event loop and with bounded admission. */
export interface Hasher {
  /** A standard PHC string; with a pepper it also carries `keyid`. The password must have passed `passwordText`. */
  hash(password: string): Promise<HashOutcome>;
  verify(phc: string, password: string): Promise<VerifyOutcome>;
  /** For an unknown account: the time of a verification that fails. */
  verifyNothing(password: string): Promise<VerifyOutcome>;
  /** Starts the threads, which otherwise start with the first password. */
  warm(): Promise<void>;
  /** Waits for the hashes under way; those waiting are refused as busy. */
  close(): Promise<void>;
  readonly inFlight: number;
  readonly queued: number;
  /** Calls refused since the start. */
  readonly busyCount: number;
}

const DEFAULTS = { memoryKib: 65_536, iterations: 3, parallelism: 1, queueWaitMs: 60, niceIncrement: 10 };
const SALT_BYTES = 16;
const DIGEST_BYTES = 32;
const ARGON2ID = 2;
const ARGON2_V13 = 1;
/** A thread that has had nothing to do for so long ends, and gives its memory back. */
const THREAD_IDLE_MS = 120_000;
const BUSY: HashBusy = { outcome: 'busy', retryAfterSeconds: 1 };

/**
 * Hashes in worker threads of lower priority, at most `maxConcurrent` at once. Whoever finds them all taken waits a
 * short while in a short queue, or is told so at once: a flood is refused in microseconds and signs nobody else out of
 * CPU time. Never throws for what a caller or a stored row contains. (attacks.md hard case 9)
 */
export function createHasher(options: HasherOptions = {}): Hasher {
  const cost = {
    memoryKib: options.memoryKib ?? DEFAULTS.memoryKib,
    iterations: options.iterations ?? DEFAULTS.iterations,
    parallelism: options.parallelism ?? DEFAULTS.parallelism,
  };
  const peppers = new Map(
    [...(options.formerPeppers ?? []), ...(options.pepper ? [options.pepper] : [])].map(byKeyId),
  );
  const currentKeyId = options.pepper ? pepperIdOf(options.pepper) : undefined;
  const nothing = impossiblePhc(cost, currentKeyId);
  const slots = Math.max(1, options.maxConcurrent ?? availableParallelism());
  const waitMs = options.queueWaitMs ?? DEFAULTS.queueWaitMs;
  const admission = createAdmission({ slots, waitMs, onRefused: options.onBusy });
  const pool = createPool(slots, options.niceIncrement ?? DEFAULTS.niceIncrement);

  async function run(task: HashTask): Promise<string | boolean | undefined> {
    const asked = performance.now();
    if (!(await admission.enter())) return undefined;
    const started = performance.now();
    try {
      return await pool.run(task);
    } finally {
      admission.leave();
      options.onDone?.({
        hashSeconds: (performance.now() - started) / 1000,
        waitSeconds: (started - asked) / 1000,
      });
    }
  }

  async function verifyWith(
    phc: string,
    password: string,
    pepper: Uint8Array | undefined,
  ): Promise<boolean | undefined> {
    const result = await run({ kind: 'verify', phc, password, pepper });
    return result === undefined ? undefined : result === true;
  }

  /** A row that parses and still cannot be computed (a digest cut short) is unreadable, not an error of the caller. */
  async function verifyStored(
    phc: string,
    password: string,
    pepper: Uint8Array | undefined,
  ): Promise<boolean | undefined | 'unreadable_hash'> {
    try {
      return await verifyWith(phc, password, pepper);
    } catch {
      return 'unreadable_hash';
    }
  }

  async function verifyNothing(password: string): Promise<VerifyOutcome> {
    const result = await verifyWith(nothing, password, options.pepper);
    return result === undefined ? BUSY : { outcome: 'verified', match: false, outdated: false };
  }

  return {
    async hash(password) {
      const phc = await run({ kind: 'hash', password, ...cost, pepper: options.pepper });
      if (typeof phc !== 'string') return BUSY;
      return { outcome: 'hashed', phc: currentKeyId ? withKeyId(phc, currentKeyId) : phc };
    },
    async verify(phc, password) {
      const stored = readPhc(phc);
      if (!stored) return withFault(await verifyNothing(password), 'unreadable_hash');
      const pepper = stored.keyId ? peppers.get(stored.keyId) : undefined;
      if (stored.keyId && !pepper) return withFault(await verifyNothing(password), 'unknown_pepper');
      const match = await verifyStored(phc, password, pepper);
      if (match === undefined) return BUSY;
      if (match === 'unreadable_hash') return withFault(await verifyNothing(password), match);
      return {
        outcome: 'verified',
        match,
        outdated: stored.keyId !== currentKeyId || !isCurrent(stored.cost, cost),
      };
    },
    verifyNothing,
    warm: pool.warm,
    async close() {
      await admission.close();
      await pool.close();
    },
    get inFlight() {
      return admission.inFlight;
    },
    get queued() {
      return admission.queued;
    },
    get busyCount() {
      return admission.refused;
    },
  };
}

type Cost = { memoryKib: number; iterations: number; parallelism: number };

/** The threads, made at the first task: a process that checks no passwords has none. */
function createPool(threads: number, niceIncrement: number) {
  let piscina: Piscina<HashTask, string | boolean> | undefined;

  function started(): Piscina<HashTask, string | boolean> {
    piscina ??= new Piscina<HashTask, string | boolean>({
      filename: fileURLToPath(new URL('./hash-worker.mjs', import.meta.url)),
      minThreads: 0,
      maxThreads: threads,
      idleTimeout: THREAD_IDLE_MS,
      niceIncrement,
      recordTiming: false,
      // What the process was started with (a telemetry preload, an inspector) is not the threads' business.
      execArgv: [],
    });
    return piscina;
  }

  return {
    run: (task: HashTask) => started().run(task),
    async warm(): Promise<void> {
      const task: HashTask = {
        kind: 'hash',
        password: '',
        memoryKib: 64,
        iterations: 1,
        parallelism: 1,
        pepper: undefined,
      };
      await Promise.all(Array.from({ length: threads }, () => started().run(task)));
    },
    async close(): Promise<void> {
      await piscina?.close();
      piscina = undefined;
    },
  };
}

function withFault(outcome: VerifyOutcome, fault: 'unreadable_hash' | 'unknown_pepper'): VerifyOutcome {
  return outcome.outcome === 'busy' ? outcome : { ...outcome, outdated: true, fault };
}

function isCurrent(stored: ParsedHashOptions, cost: Cost): boolean {
  return (
    stored.algorithm === ARGON2ID &&
    stored.version === ARGON2_V13 &&
    stored.memoryCost === cost.memoryKib &&
    stored.timeCost === cost.iterations &&
    stored.parallelism === cost.parallelism &&
    stored.saltLen >= SALT_BYTES &&
    stored.outputLen >= DIGEST_BYTES
  );
}

function readPhc(phc: string): { cost: ParsedHashOptions; keyId: string | undefined } | undefined {
  try {
    return { cost: parseOptions(phc), keyId: /,keyid=([A-Za-z0-9+/]+)/.exec(phc)?.[1] };
  } catch {
    return undefined;
  }
}

/** The PHC string format's own optional parameter, so the string says which pepper it needs and gives none away. */
function withKeyId(phc: string, keyId: string): string {
  return phc.replace(/^(\$argon2id\$v=19\$[^$]+)\$/, `$1,keyid=${keyId}$`);
}

/** What a hash names its pepper by; tells nothing of it. */
export function pepperIdOf(pepper: Uint8Array): string {
  return createHmac('sha256', pepper)
    .update('gatehouse pepper id')
    .digest()
    .subarray(0, 6)
    .toString('base64');
}

function byKeyId(pepper: Uint8Array): [string, Uint8Array] {
  return [pepperIdOf(pepper), pepper];
}

/** Costs what a real hash costs and matches no password: its digest was never computed. */
function impossiblePhc(cost: Cost, keyId: string | undefined): string {
  const base64 = (bytes: number): string => randomBytes(bytes).toString('base64').replace(/=+$/, '');
  const phc = `$argon2id$v=19$m=${cost.memoryKib},t=${cost.iterations},p=${cost.parallelism}$${base64(SALT_BYTES)}$${base64(DIGEST_BYTES)}`;
  return keyId ? withKeyId(phc, keyId) : phc;
}
