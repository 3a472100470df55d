import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  busInboxPrefix,
  busServices,
  decodeJwt,
  eventStream,
  parseCreds,
  revocationStream,
} from '@gatehouse/nats-claims';
import {
  type ConsumerInfo,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  type StreamInfo,
} from '@nats-io/jetstream';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import { type Check, counted, failed, hostOf, measured, ok, skipped, spoken, warning } from './check.ts';
import type { KnownSettings } from './settings.ts';

const CONNECT_TIMEOUT_MS = 3_000;
const REPLY_TIMEOUT_MS = 3_000;
const LAG_WARN = 1_000;
const LAG_FAIL = 50_000;
const CREDS_WARN_SECONDS = 14 * 86_400;
const CREDS_FAIL_SECONDS = 86_400;
const OLDEST_SERVER = [2, 10] as const;

/** The bus: whether one gets in, the streams, and how far their consumers are. */
export async function examineBus({ env }: KnownSettings): Promise<readonly Check[]> {
  const url = env.NATS_URL?.trim();
  if (!url && !env.DATABASE_URL)
    return [skipped('nats', 'NATS_URL is not set here', 'run this where the services run')];
  const login = await loginOf(url || 'nats://127.0.0.1:4222', env.NATS_CREDS?.trim());
  if ('check' in login) return [login.check];
  const at = login.servers.join(', ');
  let nc: NatsConnection;
  try {
    nc = await connect({
      servers: login.servers,
      ...login.options,
      name: 'gatehouse-doctor',
      reconnect: false,
      timeout: CONNECT_TIMEOUT_MS,
      noAsyncTraces: true,
    });
  } catch (error) {
    return [...login.checks, unreachable(at, error)];
  }
  try {
    return [...login.checks, ...(await inside(nc, at, Number(env.NATS_STREAM_REPLICAS) || 1))];
  } finally {
    await nc.close();
  }
}

function unreachable(at: string, error: unknown): Check {
  const { name = '', code = '', message = '' } = error as { name?: string; code?: string; message?: string };
  if (/authorization|authentication|expired/i.test(`${name} ${message}`))
    return failed('nats', `${at} refuses the login`, {
      remedy:
        'correct NATS_CREDS (or user and password in NATS_URL); "Renew the credentials of a service on the bus" in docs/runbook-procedures.md',
    });
  const reason =
    code ||
    /ECONN\w+|ENOTFOUND|EAI_AGAIN|timeout/i.exec(`${message} ${String((error as Error).cause ?? '')}`)?.[0];
  return failed('nats', `nothing answers at ${at} (${reason ?? name})`, {
    remedy: 'start nats-server, or correct NATS_URL; meanwhile events wait in the outbox and none is lost',
  });
}

interface Login {
  readonly servers: string[];
  readonly options: ConnectionOptions;
  readonly checks: readonly Check[];
}

async function loginOf(url: string, creds: string | undefined): Promise<Login | { check: Check }> {
  const urls = url.split(',').map((one) => (one.includes('://') ? one.trim() : `nats://${one.trim()}`));
  if (!urls.every((one) => URL.canParse(one)))
    return {
      check: failed('nats', 'NATS_URL is no URL', { remedy: 'nats://host:4222, several with commas' }),
    };
  const { urlLogin } = await import('@gatehouse/kit/inspection');
  const servers = urls.map(hostOf);
  const tls = urls.some((one) => one.startsWith('tls:')) ? { tls: {} } : {};
  if (creds === undefined)
    return { servers, options: { ...tls, ...urlLogin(new URL(urls[0] ?? '')).options }, checks: [] };
  const file = credsFileOf(creds);
  const read = file === undefined ? undefined : readCreds(file);
  if (file === undefined || read === undefined)
    return {
      check: failed('nats.credentials', `NATS_CREDS: ${file ?? creds} holds no credentials`, {
        remedy: 'gatehouse user creds <service> --account GATEHOUSE --output <file>',
      }),
    };
  const { credsLogin } = await import('@gatehouse/kit/inspection');
  const login = credsLogin(file, read.user, { warn: () => {} } as never);
  return {
    servers,
    options: { ...tls, ...login.options, inboxPrefix: busInboxPrefix(read.user) },
    checks: [judgeCreds(file, read.expiresAt)],
  };
}

/** The file itself, or that of whichever process has one in the folder. */
function credsFileOf(path: string): string | undefined {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
    return existsSync(path) ? path : undefined;
  return ['all-in-one', ...busServices]
    .map((name) => join(path, `${name}.creds`))
    .find((file) => existsSync(file));
}

function readCreds(file: string): { user: string; expiresAt: number | undefined } | undefined {
  try {
    const creds = parseCreds(readFileSync(file, 'latin1'));
    if (creds === undefined) return undefined;
    const { name, exp } = decodeJwt(creds.jwt);
    return { user: name ?? 'all-in-one', expiresAt: exp };
  } catch {
    return undefined;
  }
}

function judgeCreds(file: string, expiresAt: number | undefined): Check {
  const name = 'nats.credentials';
  const remedy = '"Renew the credentials of a service on the bus" in docs/runbook-procedures.md';
  if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0)
    return warning(name, `${file} can be read by others`, { remedy: `chmod 600 ${file}` });
  if (expiresAt === undefined) return ok(name, 'do not expire');
  const left = expiresAt - Date.now() / 1000;
  const finding = left <= 0 ? `expired ${spoken(-left)} ago` : `expire in ${spoken(left)}`;
  return measured(name, -left, { warn: -CREDS_WARN_SECONDS, fail: -CREDS_FAIL_SECONDS }, { finding, remedy });
}

async function inside(nc: NatsConnection, at: string, replicas: number): Promise<Check[]> {
  const begun = performance.now();
  await nc.flush();
  const tookMs = Math.round(performance.now() - begun);
  const { version = '', jetstream } = nc.info ?? {};
  const server = `nats-server ${version} at ${at}, ${tookMs} ms`;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_SERVER;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor))
    return [failed('nats', server, { remedy: 'Gatehouse needs nats-server 2.10 or newer' })];
  if (jetstream !== true)
    return [
      failed('nats', `${server}, without JetStream`, {
        remedy: 'give it a "jetstream" block and a store_dir',
      }),
    ];
  const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: REPLY_TIMEOUT_MS });
  const streams = await Promise.all(
    [eventStream, revocationStream].map((name) => lookAtStream(jsm, name, replicas)),
  );
  return [ok('nats', server), ...streams, await consumers(jsm)];
}

async function lookAtStream(jsm: JetStreamManager, stream: string, replicas: number): Promise<Check> {
  const name = 'nats.streams';
  let info: StreamInfo;
  try {
    info = await jsm.streams.info(stream);
  } catch (error) {
    return failed(name, `${stream}: ${faultOf(error, 'is not there')}`, {
      remedy: 'start the services: token and audit make the streams; on a cluster look at its meta leader',
    });
  }
  const { cluster, config, state } = info;
  if (cluster !== undefined && !cluster.leader)
    return failed(name, `${stream} has no leader`, {
      remedy: 'bring a majority of the servers that hold it back (nats stream info)',
    });
  const lagging = (cluster?.replicas ?? []).filter(({ current, offline }) => offline === true || !current);
  if (lagging.length > 0)
    return warning(
      name,
      `${stream}: ${lagging.map(({ name: server }) => server).join(', ')} not up to date`,
      {
        remedy: 'start those servers; they catch up by themselves',
      },
    );
  if (config.num_replicas < replicas)
    return warning(name, `${stream} has ${config.num_replicas} of ${counted(replicas, 'replica')}`, {
      remedy: 'restart the token or the audit service: it brings the stream to NATS_STREAM_REPLICAS',
    });
  return ok(
    name,
    `${stream}: ${counted(state.messages, 'message')}, ${counted(config.num_replicas, 'replica')}`,
  );
}

async function consumers(jsm: JetStreamManager): Promise<Check> {
  const name = 'nats.consumers';
  const remedy =
    'start the service of that name and look at its log; the outbox keeps what audit has not confirmed';
  let found: ConsumerInfo[];
  try {
    found = await jsm.consumers.list(eventStream).next();
  } catch (error) {
    return failed(name, faultOf(error, 'cannot be listed'), { remedy });
  }
  const durable = found.filter(({ config }) => config.durable_name !== undefined);
  if (durable.length === 0) return failed(name, 'nobody follows the events', { remedy });
  const lags = durable
    .map((one) => ({
      name: one.name,
      lag: one.num_pending + one.num_ack_pending,
      idle: (one.num_waiting ?? 0) === 0,
    }))
    .toSorted((a, b) => b.lag - a.lag);
  const most = lags[0]?.lag ?? 0;
  const absent = lags.filter(({ idle, lag }) => idle && lag > 0);
  if (absent.length > 0 && most < LAG_FAIL)
    return warning(
      name,
      `${absent.map(({ name: one }) => one).join(', ')}: events wait and nobody asks for them`,
      {
        details: lags.map(({ name: one, lag }) => `${one}: ${lag} behind`),
        remedy,
      },
    );
  return measured(
    name,
    most,
    { warn: LAG_WARN, fail: LAG_FAIL },
    { finding: lags.map(({ name: one, lag }) => `${one}: ${lag} behind`).join(', '), remedy },
  );
}

/** JetStream's own words for a refusal; otherwise that it did not answer. */
const faultOf = (error: unknown, absent: string): string =>
  error instanceof JetStreamApiError ? `${absent} (${error.message})` : 'JetStream does not answer';
