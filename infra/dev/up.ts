import { rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  findFreePort,
  findNatsServer,
  followBus,
  makeHome,
  openBusFiles,
  type RunningServer,
  reasonOf,
  type ServerProcess,
  startNats,
  startPostgres,
  stopLeftover,
} from '@gatehouse/embedded';
import { explainDatabaseError, migrateUp } from '@gatehouse/schema';
import { announcement } from './announce.ts';
import {
  type FirstAdministrator,
  firstAdministrator,
  forgetFirstAdministrator,
} from './first-administrator.ts';
import { type HomeSecrets, openHomeSecrets, writePrivately } from './home-secrets.ts';
import { busFolder, installationHome, lockFile, servicesPidFile, stackFile } from './installation-home.mjs';
import { ownBus } from './own-bus.ts';
import { servicesLogFile, servicesMarker, servicesStopPlan, startServices } from './services-process.ts';
import { listenForShutdown, type Shutdown } from './shutdown.ts';
import { alreadyRuns, listenAddress, refuseTakenPort } from './start-checks.mjs';
import { Supervised, type Supervision } from './supervised.ts';
import { runMain, SetupFault } from './toolchain/fault.mjs';
import { takeLock } from './toolchain/setup-lock.mjs';

/**
 * The second half of `npm start`, under Node 24: Postgres and nats-server unless given, migrations, the first
 * administrator, all services in one process; then waits to be stopped, and stops in the opposite order.
 */
const startedAt = performance.now();
const home = installationHome();
const say = (line: string) => process.stderr.write(`gatehouse: ${line}\n`);

/** What runs, in the order of starting. */
const parts: {
  postgres?: Supervised<RunningServer>;
  nats?: Supervised<RunningServer>;
  services?: Supervised<ServerProcess>;
} = {};

await runMain(main);
process.exit();

async function main(): Promise<number> {
  makeHome(home);
  const lock = takeLock(lockFile(home));
  if (!lock.release) throw new SetupFault(alreadyRuns(home, lock.pid));
  const shutdown = listenForShutdown(() => void force());
  let fault: string | undefined;
  try {
    await bringUp(shutdown);
    fault = await shutdown.requested;
  } catch (error) {
    if (!shutdown.signal.aborted) throw error;
    fault = await shutdown.requested;
  } finally {
    await bringDown();
    lock.release();
  }
  if (fault === undefined) return 0;
  say(fault);
  return 1;
}

async function bringUp(shutdown: Shutdown): Promise<void> {
  const address = listenAddress();
  await stopLeftover(servicesPidFile(home), servicesMarker(home), servicesStopPlan());
  rmSync(stackFile(home), { force: true });
  if (address.port === 0) address.port = await findFreePort();
  await refuseTakenPort(address);
  const secrets = openHomeSecrets(home);
  const supervision: Supervision = { say, onRestart: () => writeStack(address), onGiveUp: shutdown.request };

  const [postgres, nats] = await Promise.allSettled([
    bringUpPostgres(secrets, supervision),
    bringUpNats(supervision),
  ]);
  // Both are awaited even if one fails: what has started must be there for bringDown to stop.
  if (postgres.status === 'rejected') throw postgres.reason;
  if (nats.status === 'rejected') throw nats.reason;
  const [databaseUrl, bus] = [postgres.value, nats.value];
  shutdown.signal.throwIfAborted();
  await migrate(databaseUrl);
  await followOwnBus(databaseUrl, supervision);
  const administrator = await firstAdministrator(home, databaseUrl);
  shutdown.signal.throwIfAborted();

  const logsToTerminal = process.argv.includes('--logs') || process.env.LOG_TO === 'stdout';
  const env = environmentFor({ secrets, address, databaseUrl, bus, administrator });
  const start = () => startServices({ home, address, env, logsToTerminal });
  const starting = Supervised.start('the services', { first: start, again: start }, supervision);
  starting.catch(() => {}); // told by the race below, unless a signal was first
  parts.services = await Promise.race([starting, rejectOnAbort(shutdown.signal)]);

  writeStack(address);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const url = publicUrl(address);
  const log = logsToTerminal ? 'here' : servicesLogFile(home);
  process.stdout.write(
    `\n${announcement({ url, administrator, home, log, seconds, nats: parts.nats?.server.url })}\n`,
  );
  forgetFirstAdministrator(home);
}

/** A refusal of the database (too old, too new, no right, not reachable) is the user's to mend: one line. */
async function migrate(databaseUrl: string): Promise<void> {
  try {
    await migrateUp(databaseUrl);
  } catch (error) {
    throw new SetupFault(explainDatabaseError(error) ?? reasonOf(error));
  }
}

async function bringUpPostgres(secrets: HomeSecrets, supervision: Supervision): Promise<string> {
  const given = process.env.DATABASE_URL?.trim();
  if (given) return given;
  const start = (port?: number) =>
    startPostgres({ home, port, password: secrets.postgresPassword, database: 'gatehouse' });
  parts.postgres = await Supervised.start(
    'Postgres',
    { first: () => start(), again: (before) => start(before.port) },
    supervision,
  );
  return parts.postgres.server.url;
}

/** How the services reach NATS. */
interface BusSettings {
  readonly NATS_URL: string;
  readonly NATS_CREDS?: string;
  readonly NATS_BUS_BUNDLE?: string;
}

/** One of ours runs in operator mode, on an operator and accounts that the services take over and own. */
async function bringUpNats(supervision: Supervision): Promise<BusSettings> {
  const given = process.env.NATS_URL?.trim();
  if (given) return { NATS_URL: given };
  parts.nats = await superviseNats(supervision);
  const { credsFolder, bundleFile } = openBusFiles(busFolder(home));
  return { NATS_URL: parts.nats.server.url, NATS_CREDS: credsFolder, NATS_BUS_BUNDLE: bundleFile };
}

function superviseNats(supervision: Supervision, known?: number): Promise<Supervised<RunningServer>> {
  const { config } = openBusFiles(busFolder(home));
  const binary = findNatsServer().path;
  const start = (port?: number) => startNats({ home, port, binary, config });
  return Supervised.start(
    'nats-server',
    { first: () => start(known), again: (before) => start(before.port) },
    supervision,
  );
}

/** What its owners made of the bus since the last start, such as a signing key, its server learns at a start only. */
async function followOwnBus(databaseUrl: string, supervision: Supervision): Promise<void> {
  if (parts.nats === undefined) return;
  const now = await ownBus(databaseUrl);
  if (now === undefined || !followBus(busFolder(home), now)) return;
  const { port } = parts.nats.server;
  await parts.nats.stop();
  parts.nats = await superviseNats(supervision, port);
}

function environmentFor(about: {
  secrets: HomeSecrets;
  address: { host: string; port: number };
  databaseUrl: string;
  bus: BusSettings;
  administrator: FirstAdministrator | undefined;
}): Record<string, string | undefined> {
  const { secrets, address, administrator } = about;
  const own = process.env.ENCRYPTION_KEYS ? process.env : secrets;
  return {
    NODE_ENV: 'development',
    // There is no other instance to turn to.
    DRAIN_SECONDS: '0',
    TOKEN_ISSUER: publicUrl(address),
    GATEHOUSE_SECRET: secrets.GATEHOUSE_SECRET,
    // Outside the database's folder: what is restored there does not bring this back with it.
    ...(parts.postgres && { AUDIT_CHECKPOINT_FILE: join(home, 'audit-checkpoints') }),
    ...process.env,
    ENCRYPTION_KEYS: own.ENCRYPTION_KEYS,
    ENCRYPTION_CURRENT_KEY_ID: own.ENCRYPTION_CURRENT_KEY_ID,
    DATABASE_URL: about.databaseUrl,
    ...about.bus,
    HOST: address.host,
    PORT: String(address.port),
    // Done above, where a refusal is told before anything else starts.
    MIGRATE_ON_START: 'false',
    GATEHOUSE_ADMIN_EMAIL: administrator?.email,
    GATEHOUSE_ADMIN_PASSWORD: administrator?.password,
  };
}

/** The services first, while what they need for draining still runs. */
async function bringDown(): Promise<void> {
  rmSync(stackFile(home), { force: true });
  if (parts.services) await parts.services.stop();
  else await stopLeftover(servicesPidFile(home), servicesMarker(home), servicesStopPlan());
  rmSync(servicesPidFile(home), { force: true });
  await parts.nats?.stop();
  await parts.postgres?.stop();
}

async function force(): Promise<void> {
  await stopLeftover(servicesPidFile(home), servicesMarker(home), { signal: 'SIGKILL', timeoutMs: 2_000 });
  await Promise.all([parts.services?.kill(), parts.nats?.kill(), parts.postgres?.kill()]);
  rmSync(lockFile(home), { force: true });
  process.exit(130);
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function publicUrl({ host, port }: { host: string; port: number }): string {
  const everywhere = ['127.0.0.1', '0.0.0.0', '::', '::1', 'localhost'].includes(host);
  return `http://${everywhere ? 'localhost' : host}:${port}`;
}

/** Addresses for other programs; nothing secret. */
function writeStack(address: { host: string; port: number }): void {
  const { postgres, nats, services } = parts;
  writePrivately(stackFile(home), {
    gateway: publicUrl(address),
    ...(postgres && {
      postgres: { host: postgres.server.host, port: postgres.server.port, database: 'gatehouse' },
    }),
    ...(nats && { nats: { host: nats.server.host, port: nats.server.port } }),
    pids: {
      launcher: process.pid,
      services: services?.server.pid,
      postgres: postgres?.server.pid,
      nats: nats?.server.pid,
    },
    log: join(home, 'gatehouse.log'),
    started_at: new Date().toISOString(),
  });
}
