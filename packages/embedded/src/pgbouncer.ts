import { chownSync, cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { type Account, closedFolderOnWay, unprivilegedAccount } from './account.ts';
import { EmbeddedError } from './embedded-error.ts';
import { repositoryRoot } from './find-binary.ts';
import { makeHome } from './home.ts';
import { type StopPlan, stopLeftover } from './leftover.ts';
import { choosePort } from './port.ts';
import { makeSystemFolder, SYSTEM_FOLDER } from './postgres-folder.ts';
import { type RunningServer, StartFailure, startProcess } from './server-process.ts';

/** A login of Postgres that clients may have through the pooler. */
export interface PoolerLogin {
  readonly name: string;
  readonly password: string;
}

/** What a PgBouncer for tests and benchmarks is made of. */
export interface PgBouncerOptions {
  /** Folder for the configuration and the log. */
  readonly home: string;
  /** Path of pgbouncer (see findPgBouncer). */
  readonly binary: string;
  /** Where Postgres is; login and database of the URL do not matter: every database of that server can be reached. */
  readonly upstream: string;
  readonly logins: readonly PoolerLogin[];
  /** Default: a free one. */
  readonly port?: number | undefined;
  /** Connections to Postgres for each database and login; otherwise as in infra/postgres/pgbouncer.ini. */
  readonly poolSize?: number | undefined;
  /** Settings in place of those of infra/postgres/pgbouncer.ini. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

/** The file that is shipped, so that what is tested is what is told. */
const CONFIGURATION = join(repositoryRoot, 'infra/postgres/pgbouncer.ini');
// SIGQUIT ends it at once; SIGINT and SIGTERM wait for transactions or even for clients, which keep theirs open.
const STOP: StopPlan = { signal: 'SIGQUIT', timeoutMs: 5_000 };
const READY_TIMEOUT_MS = 15_000;

/** Starts PgBouncer on 127.0.0.1 as infra/postgres/pgbouncer.ini has it. Its `url` names no login and no database. */
export async function startPgBouncer(options: PgBouncerOptions): Promise<RunningServer> {
  const home = resolve(options.home);
  makeHome(home);
  const account = unprivilegedAccount();
  const binary = reachable(options.binary, account);
  const [configFile, loginFile] = [join(home, 'pgbouncer.ini'), join(home, 'userlist.txt')];
  const pidFile = join(home, 'pgbouncer.pid');
  await stopLeftover(pidFile, home, STOP);
  writeFor(account, loginFile, options.logins.map(loginLine).join(''));
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort('pgbouncer', options.port);
    writeFor(account, configFile, configOf(options, { port, loginFile }));
    try {
      const server = await startProcess({
        name: 'pgbouncer',
        binary,
        args: [configFile],
        env: { PATH: process.env.PATH, HOME: home, TZ: 'UTC' },
        cwd: '/',
        account,
        logFile: join(home, 'pgbouncer.log'),
        pidFile,
        stop: STOP,
        timeoutMs: READY_TIMEOUT_MS,
        isReady: () => speaksPostgres(port),
      });
      return { ...server, host: '127.0.0.1', port, url: `postgres://127.0.0.1:${port}` };
    } catch (error) {
      if (!(error instanceof StartFailure && error.portTaken) || attempt >= 20) throw error;
    }
  }
}

/** PgBouncer does not run as root: the account that it gets must be able to read the program and what it brings. */
function reachable(binary: string, account: Account | undefined): string {
  const folder = dirname(binary);
  if (account === undefined || closedFolderOnWay(folder, account) === undefined) return binary;
  if (basename(binary) !== 'run-pgbouncer')
    throw new EmbeddedError(`pgbouncer runs as ${account.name}, which cannot reach ${binary}`);
  makeSystemFolder(folder, account);
  const copy = join(SYSTEM_FOLDER, 'pgbouncer');
  if (!existsSync(copy)) {
    // One rename, so that a second process never finds half of it.
    const half = `${copy}.${process.pid}`;
    cpSync(folder, half, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(half, copy);
    } catch (error) {
      rmSync(half, { recursive: true, force: true });
      if (!existsSync(copy)) throw error;
    }
  }
  return join(copy, basename(binary));
}

/** Passwords are in it. */
function writeFor(account: Account | undefined, file: string, text: string): void {
  writeFileSync(file, text, { mode: 0o600 });
  if (account) chownSync(file, account.uid, account.gid);
}

const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
const loginLine = ({ name, password }: PoolerLogin): string => `${quoted(name)} ${quoted(password)}\n`;

function configOf(options: PgBouncerOptions, at: { port: number; loginFile: string }): string {
  const { hostname, port } = new URL(options.upstream);
  const own: Record<string, string> = {
    listen_addr: '127.0.0.1',
    listen_port: String(at.port),
    auth_file: at.loginFile,
    ...(options.poolSize === undefined ? {} : { default_pool_size: String(options.poolSize) }),
    ...options.settings,
  };
  const shipped = readFileSync(CONFIGURATION, 'utf8').replace(
    /^gatehouse = .*$/m,
    `* = host=${hostname} port=${port || 5432}`,
  );
  const kept = shipped.split('\n').filter((line) => !((/^(\w+) =/.exec(line)?.[1] ?? '') in own));
  return [...kept, ...Object.entries(own).map(([name, value]) => `${name} = ${value}`), ''].join('\n');
}

/** Asks as a client would whether it speaks TLS; the answer is one letter. */
function speaksPostgres(port: number): Promise<boolean> {
  return new Promise((resolvePromise) => {
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (result: boolean) => {
      socket.destroy();
      resolvePromise(result);
    };
    socket.setTimeout(1_000, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
    socket.once('connect', () => socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])));
    socket.once('data', (answer) => finish(/^[NS]/.test(answer.toString('latin1'))));
  });
}
