import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import {
  findPgBouncer,
  makeServiceLogins,
  type PoolerLogin,
  pooledSettings,
  type RunningPostgres,
  type RunningServer,
  startPgBouncer,
  startPostgres,
  temporaryHome,
} from '@gatehouse/embedded';
import {
  type Connection,
  type ConnectOptions,
  connect,
  type KitDatabase,
  migrateUp,
} from '@gatehouse/schema';
import pg from 'pg';

/** PgBouncer; undefined where the set-up said that the tests behind it are skipped. */
export const pgBouncer = findPgBouncer();

/** A Postgres of its own behind PgBouncer in transaction mode, for tests that end and start both. */
export class PooledBench {
  readonly #home = temporaryHome('gatehouse-pooler-');
  readonly #password = randomBytes(12).toString('base64url');
  readonly #opened: Connection<KitDatabase>[] = [];
  #postgres: RunningPostgres | undefined;
  #pooler: RunningServer | undefined;
  #owner: pg.Pool | undefined;
  #logins: PoolerLogin[] = [];

  static async open(): Promise<PooledBench> {
    const bench = new PooledBench();
    await bench.startPostgres();
    await migrateUp(bench.databaseUrl);
    bench.#logins = await makeServiceLogins(bench.databaseUrl);
    await bench.startPooler();
    return bench;
  }

  /** Straight to Postgres, as the owner. */
  get owner(): pg.Pool {
    if (this.#owner === undefined) {
      this.#owner = new pg.Pool({ connectionString: this.databaseUrl, max: 2 });
      this.#owner.on('error', () => {});
    }
    return this.#owner;
  }

  /** Settings of services behind the pooler. */
  get settings(): Readonly<Record<string, string>> {
    return pooledSettings(this.databaseUrl, this.#pooler?.url ?? '', this.#logins);
  }

  /** Straight to Postgres, as the owner. */
  get databaseUrl(): string {
    return this.#postgres?.url ?? '';
  }

  /** Through the pooler, as the owner, whom it does not know by default: nobody should. */
  get pooledOwnerUrl(): string {
    const url = new URL(this.databaseUrl);
    url.port = String(this.#pooler?.port);
    return url.href;
  }

  async startPostgres(): Promise<void> {
    this.#postgres = await startPostgres({
      home: join(this.#home.path, 'postgres'),
      password: this.#password,
      database: 'gatehouse',
      flags: { fsync: 'off', full_page_writes: 'off' },
      ...(this.#postgres && { port: this.#postgres.port }),
    });
  }

  async killPostgres(): Promise<void> {
    await this.#postgres?.kill();
  }

  /** `settings` take the place of those of infra/postgres/pgbouncer.ini. */
  async startPooler(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#pooler = await startPgBouncer({
      home: join(this.#home.path, 'pgbouncer'),
      binary: pgBouncer?.path ?? '',
      upstream: this.databaseUrl,
      logins: [...this.#logins, { name: 'gatehouse', password: this.#password }],
      settings,
      ...(this.#pooler && { port: this.#pooler.port }),
    });
  }

  async killPooler(): Promise<void> {
    await this.#pooler?.kill();
  }

  async restartPooler(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#pooler?.stop();
    await this.startPooler(settings);
  }

  /** The pool of a service of one more instance, as `run` opens it. */
  connect(service: 'token' | 'auth' | 'audit', more: Partial<ConnectOptions> = {}): Connection<KitDatabase> {
    const url = this.settings[`${service.toUpperCase()}_DATABASE_URL`] ?? '';
    const opened = connect<KitDatabase>({ url, service, pooled: true, poolMax: 4, ...more });
    this.#opened.push(opened);
    return opened;
  }

  /** Ends what a test opened. */
  async reset(): Promise<void> {
    await Promise.all(this.#opened.splice(0).map((one) => one.close()));
  }

  async close(): Promise<void> {
    await this.reset();
    await this.#owner?.end();
    await this.#pooler?.stop();
    await this.#postgres?.stop();
    this.#home.remove();
  }
}
