import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Account, unprivilegedAccount } from './account.ts';
import { EmbeddedError } from './embedded-error.ts';
import { makeHome } from './home.ts';
import { type StopPlan, stopLeftover } from './leftover.ts';
import { choosePort } from './port.ts';
import { dataFolder, postgresPrograms } from './postgres-folder.ts';
import { type RunningServer, StartFailure, startProcess } from './server-process.ts';

export interface PostgresOptions {
  /** Folder for the cluster and its log; made when missing, used again when not. */
  home: string;
  /** Default: a free one. */
  port?: number | undefined;
  /** Of the owner role `gatehouse`, and of the superuser unless that has its own. Fixed when the cluster is made. */
  password: string;
  superuserPassword?: string | undefined;
  /** Made with the cluster and owned by `gatehouse`. */
  database: string;
  /** Server settings for this start, such as `{ fsync: 'off' }`. */
  flags?: Record<string, string> | undefined;
}

export interface RunningPostgres extends RunningServer {
  /** `url` is the owner's (`gatehouse`: createdb, createrole, no superuser); this one is `postgres`. */
  superuserUrl: string;
}

// SIGINT is Postgres' fast shutdown: it ends sessions, checkpoints and goes. (SIGTERM would wait for every client.)
const STOP: StopPlan = { signal: 'SIGINT', timeoutMs: 15_000 };
const READY_TIMEOUT_MS = 60_000;
const OWNER = 'gatehouse';
const SUPERUSER = 'postgres';
const SETTINGS: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '128MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // The DETAIL of a refused row shows its values: an address, or whatever somebody sent as a name.
  log_error_verbosity: 'terse',
};

/** Starts Postgres on 127.0.0.1, first making the cluster, the owner role and its database where there are none. */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const home = resolve(options.home);
  makeHome(home);
  const account = unprivilegedAccount();
  const programs = postgresPrograms(account);
  const data = dataFolder(home, account);
  await stopLeftover(join(data, 'postmaster.pid'), data, STOP);
  if (!existsSync(join(data, 'PG_VERSION'))) makeCluster({ data, programs, account, options });
  refuseOtherVersion(data, programs);

  const environment = environmentOf(home);
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort('Postgres', options.port);
    const settings = { ...SETTINGS, ...options.flags, port: String(port) };
    try {
      const server = await startProcess({
        name: 'Postgres',
        binary: join(programs, 'bin', 'postgres'),
        args: [
          '-D',
          data,
          ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
        ],
        env: environment,
        cwd: '/',
        account,
        logFile: join(home, 'postgres.log'),
        stop: STOP,
        timeoutMs: READY_TIMEOUT_MS,
        isReady: (pid) => isReady(data, pid),
      });
      const urlFor = (role: string, password: string) =>
        `postgres://${role}:${encodeURIComponent(password)}@127.0.0.1:${port}/${options.database}`;
      return {
        ...server,
        host: '127.0.0.1',
        port,
        url: urlFor(OWNER, options.password),
        superuserUrl: urlFor(SUPERUSER, options.superuserPassword ?? options.password),
      };
    } catch (error) {
      await judge(error, attempt);
    }
  }
}

/** Throws what another try cannot mend; returns, after a moment, when it can. */
async function judge(error: unknown, attempt: number): Promise<void> {
  if (!(error instanceof StartFailure) || attempt >= 40) throw error;
  if (error.portTaken) return;
  // The backends of a postmaster that was shot notice it within moments; until then their shared memory is in use.
  if (!/shared memory block .* is still in use|lock file "postmaster.pid" already exists/.test(error.output))
    throw error;
  await delay(250);
}

function isReady(data: string, pid: number): boolean {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
  } catch {
    return false;
  }
}

interface ClusterPlan {
  data: string;
  programs: string;
  account: Account | undefined;
  options: PostgresOptions;
}

function makeCluster({ data, programs, account, options }: ClusterPlan): void {
  removeHalfMade(data);
  const half = `${data}.new-${randomBytes(4).toString('hex')}`;
  const passwordFile = `${half}.pw`;
  const env = environmentOf(options.home);
  const run = (program: string, args: string[], input?: string) => {
    const result = spawnSync(join(programs, 'bin', program), args, {
      ...account,
      env,
      cwd: '/',
      encoding: 'utf8',
      ...(input === undefined ? {} : { input }),
    });
    // Single-user mode ends with 0 even after a failed statement; it writes ERROR or FATAL.
    if (result.status === 0 && !/\b(ERROR|FATAL|PANIC):/.test(result.stderr)) return;
    const lines = `${result.stdout ?? ''}\n${result.stderr ?? ''}\n${result.error?.message ?? ''}`.split(
      '\n',
    );
    const telling =
      lines.findLast((line) => /error|fatal/i.test(line)) ?? lines.findLast((line) => line.trim() !== '');
    throw new EmbeddedError(`Postgres' ${program} failed: ${telling?.trim() ?? 'it wrote nothing'}`);
  };
  try {
    mkdirSync(half, { recursive: true, mode: 0o700 });
    writeFileSync(passwordFile, `${options.superuserPassword ?? options.password}\n`, { mode: 0o600 });
    if (account) for (const path of [half, passwordFile]) chownSync(path, account.uid, account.gid);
    const locale = ['--encoding=UTF8', '--locale-provider=builtin', '--locale=C.UTF-8'];
    const safety = ['--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--data-checksums'];
    run('initdb', ['-D', half, '-U', SUPERUSER, '--no-instructions', ...safety, ...locale]);
    // log_min_error_statement: a statement that failed must not put the password into the output.
    const single = ['--single', '-D', half, '-c', 'log_min_error_statement=panic', 'postgres'];
    const password = options.password.replaceAll("'", "''");
    const database = `"${options.database.replaceAll('"', '""')}"`;
    run(
      'postgres',
      single,
      `create role ${OWNER} login createdb createrole password '${password}'\ncreate database ${database} owner ${OWNER}\n`,
    );
    renameSync(half, data);
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(half, { recursive: true, force: true });
  }
}

/** What an initdb left that was killed on its way. */
function removeHalfMade(data: string): void {
  if (!existsSync(dirname(data))) return;
  for (const name of readdirSync(dirname(data))) {
    if (name.startsWith(`${basename(data)}.new-`))
      rmSync(join(dirname(data), name), { recursive: true, force: true });
  }
}

function refuseOtherVersion(data: string, programs: string): void {
  const cluster = readFileSync(join(data, 'PG_VERSION'), 'utf8').trim();
  const ours = /postgres-(\d+)/.exec(basename(programs))?.[1];
  if (cluster === ours) return;
  throw new EmbeddedError(
    `the database in ${data} is of Postgres ${cluster}, this release brings ${ours}: use the release that made it, or another home`,
  );
}

function environmentOf(home: string): Record<string, string | undefined> {
  return { PATH: process.env.PATH, SystemRoot: process.env.SystemRoot, LC_ALL: 'C', TZ: 'UTC', HOME: home };
}
