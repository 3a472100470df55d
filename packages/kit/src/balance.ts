import { buildConnector, Dispatcher, type Pool } from 'undici';
import { noteCertificate, notingConnector } from './certificates.ts';
import { Instance, type Standing, standings } from './instance.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/**
 * Never got as far as the service: no connection came about, or the one that was to be taken had gone. A request that
 * fails so before its first byte was written was not done.
 */
const connectionFaults: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_SOCKET',
]);

/** A client closes what is idle sooner than a service that drains does: no request meets a closing connection. */
export const IDLE_CONNECTION_MS = 4_000;

/** How the connections of a balancer are made. */
export const connectionDefaults = {
  keepAliveTimeout: IDLE_CONNECTION_MS,
  // Without it a service's own hint, which is longer, would count.
  keepAliveMaxTimeout: IDLE_CONNECTION_MS,
  pipelining: 1,
  connect: { timeout: 1_000 },
} as const;

/** What a balancer needs. */
export interface BalancerOptions {
  /** Origins of the instances, at least one. */
  readonly origins: readonly string[];
  /** The service that listens there. */
  readonly upstream: string;
  /** The process that asks: a label. */
  readonly service: string;
  readonly pool: Pool.Options;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Connections to the instances of one service. A request goes to the one that stands best and has the fewest requests
 * open. It is sent to another when it provably was not sent, or when it says (`idempotent`) that doing it twice does no
 * harm and no answer has begun; never otherwise: it may have been done.
 */
export class Balancer extends Dispatcher {
  readonly #instances: readonly Instance[];
  readonly #moved: AttemptOptions['moved'];
  #next = 0;
  #closed: Promise<unknown> | undefined;

  constructor({ origins, upstream, service, pool, log, metrics }: BalancerOptions) {
    super();
    const onStanding = ({ origin, standing }: Instance) => {
      metrics.upstreamReady.set({ service, upstream, target: origin }, standing === 'ready' ? 1 : 0);
      log.info({ upstream, instance: origin, standing }, 'instance of a service stands differently');
    };
    const note = noteCertificate(metrics, { service, dep: 'peer' });
    const connect = notingConnector(buildConnector(connectionDefaults.connect), note);
    this.#instances = origins.map(
      (origin) => new Instance(origin, { pool: { ...pool, connect }, onStanding }),
    );
    this.#moved = (reason) => metrics.upstreamRetries.inc({ service, upstream, reason });
    // The only one is not asked: there is no other to turn to.
    if (origins.length === 1) return;
    for (const instance of this.#instances) {
      metrics.upstreamReady.set({ service, upstream, target: instance.origin }, 1);
      instance.watch();
    }
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return new Attempt(options, handler, {
      choose: (tried) => this.#choose(tried),
      triesMax: Math.max(2, this.#instances.length),
      moved: this.#moved,
    }).begin();
  }

  /** Waits for the open requests. */
  override async close(): Promise<void> {
    this.#closed ??= Promise.all(this.#instances.map((instance) => instance.close()));
    await this.#closed;
  }

  /** The best instance; one that was tried already only when there is no other. Among equals, one after the other. */
  #choose(tried: readonly Instance[]): Instance {
    const all = this.#instances;
    const from = this.#next;
    this.#next = (from + 1) % all.length;
    let best = all[from] as Instance;
    for (let step = 1; step < all.length; step += 1) {
      const other = all[(from + step) % all.length] as Instance;
      if (isBetter(other, best, tried)) best = other;
    }
    return best;
  }
}

const rankOf = ({ standing }: { standing: Standing }): number => standings.indexOf(standing);

function isBetter(one: Instance, other: Instance, tried: readonly Instance[]): boolean {
  if (tried.length > 0 && tried.includes(one) !== tried.includes(other)) return !tried.includes(one);
  const [rank, otherRank] = [rankOf(one), rankOf(other)];
  return rank === otherRank ? one.outstanding < other.outstanding : rank < otherRank;
}

interface AttemptOptions {
  readonly choose: (tried: readonly Instance[]) => Instance;
  readonly triesMax: number;
  readonly moved: (reason: 'unsent' | 'repeated') => void;
}

/** One request on its way, over as many connections as it may take. */
class Attempt implements Dispatcher.DispatchHandler {
  readonly #options: Dispatcher.DispatchOptions;
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #about: AttemptOptions;
  readonly #tried: Instance[] = [];
  #instance: Instance | undefined;
  #written = false;
  #answered = false;
  #repeated = false;

  constructor(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
    about: AttemptOptions,
  ) {
    this.#options = options;
    this.#handler = handler;
    this.#about = about;
  }

  begin(): boolean {
    const instance = this.#about.choose(this.#tried);
    this.#instance = instance;
    this.#written = false;
    instance.outstanding += 1;
    return instance.pool.dispatch(this.#options, this);
  }

  // undici calls it right before the first byte is written.
  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#written = true;
    this.#handler.onRequestStart?.(controller, context);
  }

  onResponseStart(...all: Parameters<Required<Dispatcher.DispatchHandler>['onResponseStart']>): void {
    const [, status, headers] = all;
    if (status >= 200) this.#answered = true;
    // Our services say so while they drain.
    if (headers.connection === 'close') this.#instance?.suspect();
    this.#handler.onResponseStart?.(...all);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#handler.onResponseData?.(controller, chunk);
  }

  onResponseEnd(...all: Parameters<Required<Dispatcher.DispatchHandler>['onResponseEnd']>): void {
    this.#end();
    this.#handler.onResponseEnd?.(...all);
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    const instance = this.#end();
    const why = this.#mayGoAgain(error);
    if (instance !== undefined && why !== undefined) {
      if (why === 'unsent') instance.unreachable();
      else this.#repeated = true;
      this.#tried.push(instance);
      if (this.#tried.length < this.#about.triesMax) {
        this.#about.moved(why);
        this.begin();
        return;
      }
    }
    this.#handler.onResponseError?.(controller, error);
  }

  #end(): Instance | undefined {
    const instance = this.#instance;
    if (instance !== undefined) instance.outstanding -= 1;
    this.#instance = undefined;
    return instance;
  }

  #mayGoAgain(error: Error): 'unsent' | 'repeated' | undefined {
    const { body, idempotent, method } = this.#options;
    // A body that is passed on as it comes may be gone.
    const whole =
      body === null || body === undefined || typeof body === 'string' || body instanceof Uint8Array;
    const fault = connectionFaults.has((error as { code?: string }).code ?? '');
    if (!whole || !fault || this.#answered) return undefined;
    if (!this.#written) return 'unsent';
    return (idempotent ?? harmless.has(method)) && !this.#repeated ? 'repeated' : undefined;
  }
}

/** Asked twice they do no harm. A PUT or DELETE done twice is another event in the trail, or another answer. */
const harmless: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
