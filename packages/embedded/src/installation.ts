import { randomBytes } from 'node:crypto';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BusFiles, openBusFiles } from './bus-files.ts';
import { EmbeddedError } from './embedded-error.ts';
import { findPgBouncer, findRedisServer, repositoryRoot } from './find-binary.ts';
import { temporaryHome } from './home.ts';
import { type BusServers, busServers } from './installation-nats.ts';
import { searchedLogs } from './log-search.ts';
import { type PoolerLogin, startPgBouncer } from './pgbouncer.ts';
import { findFreePort } from './port.ts';
import { type RunningPostgres, startPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';
import { type RunningServer, type ServerProcess, startProcess } from './server-process.ts';
import { makeServiceLogins, pooledSettings } from './service-logins.ts';

/**
 * All services in one process; one process a service behind the gateway; or two processes of each, on three routed
 * nats-servers with three replicas of each stream, a Redis, and a pooler before Postgres where there is one.
 */
export type InstallationMode = 'one' | 'split' | 'scaled';

/** What an installation for tests and benchmarks is made of. */
export interface InstallationOptions {
  readonly mode: InstallationMode;
  /** A Postgres database to use; without it the installation has a Postgres of its own, with the disk's waits. */
  readonly databaseUrl?: string | undefined;
  /** Whether a Redis shares the rate limits; always in mode 'scaled', unless false. */
  readonly redis?: boolean;
  /** Whether the services reach Postgres through PgBouncer in transaction mode, each with its own login; in mode 'scaled' where it is to be had, unless false. */
  readonly pooler?: boolean;
  /** Settings of that PgBouncer in place of those of infra/postgres/pgbouncer.ini. */
  readonly poolerSettings?: Readonly<Record<string, string>>;
  /** Settings beyond the defaults for tests (cheap hashes, limits off). */
  readonly env?: Readonly<Record<string, string>>;
  /** Server settings of the own Postgres. */
  readonly postgresFlags?: Record<string, string>;
  /** Whether nats-server answers on a monitoring port. */
  readonly natsMonitor?: boolean;
  /** Folder with the bus of another installation, as a restore leaves it; without it the installation makes its own. */
  readonly busFolder?: string | undefined;
  /** Where everything of it is kept; the system's temporary folder unless given. */
  readonly folder?: string | undefined;
  /** Log of a server that is not this installation's own, to be searched for secrets as well. */
  readonly otherLog?: string | undefined;
  /** Folder of the checkout whose code a service runs, asked at each of its starts; this one's unless given. */
  readonly codeOf?: ((service: string) => string) | undefined;
  /** Whether `close` searches what was logged for secrets; true unless given. A benchmark has no time for it. */
  readonly searchLogs?: boolean;
}

/** What one start of a service has of its own; the next one has it no longer. */
export interface StartOptions {
  /** Settings beside those of the installation, or in place of them. */
  readonly env?: Readonly<Record<string, string>>;
  /** What stands before the command, and becomes it: `['taskset', '-c', '0']`. */
  readonly under?: readonly string[];
}

/** A whole installation of real processes. */
export interface Installation {
  readonly mode: InstallationMode;
  /** The public address; of several gateways the first one's. */
  readonly url: string;
  /** Of every gateway. */
  readonly gateways: readonly string[];
  /** The owner's, straight to Postgres. */
  readonly databaseUrl: string;
  /** Settings that every service process was given. */
  readonly env: Readonly<Record<string, string>>;
  readonly admin: { readonly email: string; readonly password: string };
  /** `all-in-one`, or the names of the services. */
  readonly services: readonly string[];
  /** The processes: the same, or in mode 'scaled' two a service, `token-1` and `token-2`. */
  readonly instances: readonly string[];
  /** Own address of a process; of a service with several the first one's. In one process all share one. */
  urlOf(service: string): string;
  /** Of a service with several the first one's; undefined when it does not run. */
  pidOf(service: string): number | undefined;
  /** SIGKILL, as a power cut; resolves when it is gone. A service's name means all of its instances, here and below. */
  killService(service: string): Promise<void>;
  /** Orderly end. */
  stopService(service: string): Promise<void>;
  /** Starts a service that was killed or stopped, on its port; resolves when it is ready. */
  startService(service: string, options?: StartOptions): Promise<void>;
  readonly nats: BusServers;
  /** Only with a Postgres of its own. */
  readonly postgres: { stop(): Promise<void>; kill(): Promise<void>; start(): Promise<void> };
  /** Only with `pooler`. */
  readonly pooler: { stop(): Promise<void>; kill(): Promise<void>; start(): Promise<void> };
  /** Only with `redis`. */
  readonly redis: { stop(): Promise<void>; start(): Promise<void>; readonly url: string };
  /** Everything that the service processes wrote. */
  logs(): string;
  /**
   * Ends it all and removes what it left. Throws when a log of its parts tells a secret that they were given or that
   * this process has sent or got over HTTP since.
   */
  close(): Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const serviceNames = ['token', 'auth', 'audit', 'nats-identity', 'gateway'] as const;

/** Starts an installation on real parts; resolves when it is ready for traffic. */
export async function startInstallation(options: InstallationOptions): Promise<Installation> {
  const home = temporaryHome('gatehouse-installation-', options.folder);
  const secret = () => randomBytes(24).toString('base64url');
  const parts = new Parts(home.path, secret(), options);
  await parts.start();
  const admin = { email: 'admin@example.com', password: `Admin-${secret()}` };
  const services: readonly string[] = options.mode === 'one' ? ['all-in-one'] : serviceNames;
  const instances = services.flatMap((service) =>
    (options.mode === 'scaled' ? [`${service}-1`, `${service}-2`] : [service]).map((name) => ({
      name,
      service,
    })),
  );
  const ports = new Map<string, number>();
  for (const { name } of instances) ports.set(name, await findFreePort());
  const of = (name: string) => instances.filter((one) => one.name === name || one.service === name);
  const urlsOf = (name: string) => of(name).map((one) => `http://127.0.0.1:${ports.get(one.name)}`);
  const env = settingsFor(options, parts, admin, urlsOf);
  const search = options.searchLogs === false ? undefined : searchedLogs(home.path, env, options.otherLog);
  const processes = new Map<string, ServerProcess>();
  const each = async (name: string, work: (one: { name: string; service: string }) => unknown) => {
    await Promise.all(of(name).map(work));
  };
  const startService = (name: string, { env: own = {}, under = [] }: StartOptions = {}) =>
    each(name, async (one) => {
      const root = options.codeOf?.(one.service) ?? repositoryRoot;
      const port = ports.get(one.name) ?? 0;
      const about = { home: home.path, port, env: { ...env, ...own }, root, under };
      processes.set(one.name, await startServiceProcess(one, about));
    });
  // Token first: auth's first administrator and everybody's keys come through it.
  await Promise.all(services.map((name) => startService(name)));

  const gateways = urlsOf(options.mode === 'one' ? 'all-in-one' : 'gateway');
  return {
    mode: options.mode,
    url: gateways[0] ?? '',
    gateways,
    databaseUrl: parts.databaseUrl,
    env,
    admin,
    services,
    instances: instances.map(({ name }) => name),
    urlOf: (name) => urlsOf(name)[0] ?? urlsOf('all-in-one')[0] ?? '',
    pidOf: (name) => processes.get(of(name)[0]?.name ?? name)?.pid,
    killService: (name) => each(name, (one) => processes.get(one.name)?.kill()),
    stopService: (name) => each(name, (one) => processes.get(one.name)?.stop()),
    startService,
    nats: parts.nats,
    postgres: parts.postgres,
    pooler: parts.pooler,
    redis: parts.redis,
    logs: () => instances.map(({ name }) => readFileSync(join(home.path, `${name}.log`), 'utf8')).join('\n'),
    async close() {
      await Promise.all([...processes.values()].map((one) => one.stop()));
      await parts.close();
      try {
        search?.();
      } finally {
        home.remove();
      }
    },
  };
}

function settingsFor(
  options: InstallationOptions,
  parts: Parts,
  admin: Installation['admin'],
  urlsOf: (name: string) => readonly string[],
): Record<string, string> {
  return {
    NODE_ENV: 'test',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'info',
    ...parts.databaseSettings,
    NATS_URL: parts.nats.urls,
    NATS_STREAM_REPLICAS: String(parts.nats.servers.length),
    NATS_CREDS: parts.bus.credsFolder,
    NATS_BUS_BUNDLE: parts.bus.bundleFile,
    ...(parts.hasRedis ? { RATE_LIMIT_REDIS_URL: parts.redis.url } : {}),
    GATEHOUSE_SECRET: randomBytes(32).toString('base64url'),
    ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64url')}`,
    ENCRYPTION_CURRENT_KEY_ID: 'k1',
    GATEHOUSE_ADMIN_EMAIL: admin.email,
    GATEHOUSE_ADMIN_PASSWORD: admin.password,
    ARGON2_MEMORY_KIB: '1024',
    ARGON2_ITERATIONS: '1',
    METRICS_GUARD: 'none',
    RATE_LIMIT_ENABLED: 'false',
    // Nobody is there to take over.
    DRAIN_SECONDS: '0',
    ...(options.mode === 'one'
      ? {}
      : {
          GATEWAY_URL: urlsOf('gateway').join(','),
          AUTH_URL: urlsOf('auth').join(','),
          TOKEN_URL: urlsOf('token').join(','),
          AUDIT_URL: urlsOf('audit').join(','),
          NATS_IDENTITY_URL: urlsOf('nats-identity').join(','),
        }),
    ...options.env,
  };
}

async function startServiceProcess(
  { name, service }: { name: string; service: string },
  about: {
    home: string;
    port: number;
    env: Record<string, string>;
    root: string;
    under: readonly string[];
  },
): Promise<ServerProcess> {
  const live = `http://127.0.0.1:${about.port}/health/ready`;
  const node = [process.execPath, join(about.root, 'services', service, 'src/main.ts')];
  const [binary = process.execPath, ...args] = [...about.under, ...node];
  return startProcess({
    name,
    binary,
    args,
    env: {
      PATH: process.env.PATH,
      HOME: about.home,
      NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS,
      NODE_COMPILE_CACHE: join(repositoryRoot, '.local/compile-cache'),
      ...about.env,
      PORT: String(about.port),
    },
    cwd: about.root,
    logFile: join(about.home, `${name}.log`),
    stop: { signal: 'SIGTERM', timeoutMs: 20_000 },
    isReady: async () => (await fetch(live).catch(() => undefined))?.status === 200,
    timeoutMs: READY_TIMEOUT_MS,
  });
}

/** What the services stand on; each part can be ended and started again on its port, with its data. */
class Parts {
  readonly #home: string;
  readonly #password: string;
  readonly #options: InstallationOptions;
  #postgres: RunningPostgres | undefined;
  #nats: BusServers | undefined;
  #redis: RunningServer | undefined;
  #pooler: RunningServer | undefined;
  #logins: PoolerLogin[] = [];
  readonly bus: BusFiles;

  constructor(home: string, password: string, options: InstallationOptions) {
    this.#home = home;
    this.#password = password;
    this.#options = options;
    if (options.busFolder !== undefined) cpSync(options.busFolder, join(home, 'bus'), { recursive: true });
    this.bus = openBusFiles(join(home, 'bus'));
  }

  async start(): Promise<void> {
    const scaled = this.#options.mode === 'scaled';
    const {
      databaseUrl,
      natsMonitor: monitor = false,
      pooler = scaled && findPgBouncer() !== undefined,
    } = this.#options;
    this.#nats = await busServers({ home: this.#home, bus: this.bus, count: scaled ? 3 : 1, monitor });
    await Promise.all([
      databaseUrl === undefined ? this.postgres.start() : undefined,
      this.nats.start(),
      this.hasRedis ? this.redis.start() : undefined,
    ]);
    if (pooler) await this.pooler.start();
  }

  get hasRedis(): boolean {
    return this.#options.redis ?? this.#options.mode === 'scaled';
  }

  get nats(): BusServers {
    if (this.#nats === undefined) throw new Error('the bus was not started');
    return this.#nats;
  }

  get databaseUrl(): string {
    return this.#options.databaseUrl ?? this.#postgres?.url ?? '';
  }

  get databaseSettings(): Record<string, string> {
    const { databaseUrl } = this;
    return this.#pooler === undefined
      ? { DATABASE_URL: databaseUrl }
      : pooledSettings(databaseUrl, this.#pooler.url, this.#logins);
  }

  readonly pooler = {
    start: async () => {
      const binary = findPgBouncer();
      if (binary === undefined) throw new EmbeddedError('pgbouncer was not found: run npm test once');
      if (this.#logins.length === 0) this.#logins = await makeServiceLogins(this.databaseUrl);
      this.#pooler = await startPgBouncer({
        home: join(this.#home, 'pgbouncer'),
        binary: binary.path,
        upstream: this.databaseUrl,
        logins: this.#logins,
        settings: this.#options.poolerSettings,
        ...(this.#pooler && { port: this.#pooler.port }),
      });
    },
    stop: async () => this.#pooler?.stop(),
    kill: async () => this.#pooler?.kill(),
  };

  readonly postgres = {
    start: async () => {
      this.#postgres = await startPostgres({
        home: join(this.#home, 'postgres'),
        password: this.#password,
        database: 'gatehouse',
        ...(this.#postgres && { port: this.#postgres.port }),
        ...(this.#options.postgresFlags && { flags: this.#options.postgresFlags }),
      });
    },
    stop: async () => this.#postgres?.stop(),
    kill: async () => this.#postgres?.kill(),
  };

  readonly redis = this.#redisPart();

  #redisPart(): Installation['redis'] {
    const url = () => this.#redis?.url ?? '';
    return {
      start: async () => {
        const { path, libraryPath } = findRedisServer();
        this.#redis = await startRedis({
          home: join(this.#home, 'redis'),
          binary: path,
          libraryPath,
          password: this.#password,
          ...(this.#redis && { port: this.#redis.port }),
        });
      },
      stop: async () => this.#redis?.stop(),
      get url() {
        return url();
      },
    };
  }

  async close(): Promise<void> {
    await this.#pooler?.stop();
    await Promise.all([this.#postgres?.stop(), this.#nats?.stop(), this.#redis?.stop()]);
  }
}
