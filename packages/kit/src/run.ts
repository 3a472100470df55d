import { existsSync } from 'node:fs';
import { managesBusStreams } from '@gatehouse/nats-claims';
import type { FastifyInstance } from 'fastify';
import { createKeyAnnouncer } from './announce-keys.ts';
import { type Bus, connectBus } from './bus.ts';
import { credsFile } from './bus-login.ts';
import { noteCertificate } from './certificates.ts';
import { ConfigError, type ConfigOf, readConfig, type Settings } from './config.ts';
import { CONFIG_FILE_DEFAULT, withConfigFile } from './config-file.ts';
import { confirmRecorded } from './confirm.ts';
import { type RunningConsumer, startConsumer } from './consume.ts';
import { type Database, databaseFaults, openDatabase } from './database.ts';
import { deadLetterAnswers } from './dead-letter-answers.ts';
import { watchDependencies } from './dependencies.ts';
import { probeBus, probeDatabase } from './health.ts';
import { createApp } from './http.ts';
import { type RunningJob, startJob } from './job.ts';
import { closeApp, type Ending, endingOf } from './leave.ts';
import { createLog, type Log, readByPerson, toggleDebug } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { metricsGuardFaults } from './metrics-guard.ts';
import { mountAnswers, mountRoutes } from './mount.ts';
import { openApiPaths } from './openapi.ts';
import { createPeers, type Peers } from './peers.ts';
import { prepareDatabase } from './prepare-database.ts';
import { mountProbes, readinessFaults } from './probes.ts';
import { describeProcess } from './process-metrics.ts';
import { deadLetterPurge } from './purge-dead-letters.ts';
import {
  documentOf,
  healthOf,
  recordedEvents,
  type SettingInForce,
  sessionStatus,
  settingsOf,
  verificationKeys,
} from './questions.ts';
import { createRelay, type Relay } from './relay.ts';
import { createRevocationFeed, type RevocationFeed } from './revocation-feed.ts';
import { openSecrets, type Secrets } from './secrets.ts';
import {
  type Answer,
  answersOf,
  type Context,
  type OpenService,
  type Service,
  serviceNames,
} from './service.ts';
import { type BaseConfig, baseSettings } from './settings.ts';
import { settingsInForce } from './settings-in-force.ts';
import { createVerifier, type Verifier } from './verifier.ts';

/** Where a process stands; everything but health answers 503 unless it is `serving`. */
export type Phase = 'starting' | 'serving' | 'draining';

/** What the services of one process share. */
interface Process {
  readonly config: BaseConfig;
  /** The settings as administrators may see them. */
  readonly inForce: readonly SettingInForce[];
  /** Names no service yet: each service's log does. */
  readonly rootLog: Log;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly secrets: Secrets;
  readonly bus: Bus;
  readonly feed: RevocationFeed;
  readonly peers: Peers;
  readonly verifier: Verifier;
}

/** One service of the process, built. */
interface Member {
  readonly service: Service;
  readonly opened: OpenService;
  readonly database: Database;
  readonly relay: Relay;
}

/** A process that serves. */
export interface Running extends Ending {
  /** Where it listens, e.g. `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly metrics: Metrics;
  /** Lets the log tell everything, and back again to LOG_LEVEL. */
  toggleDebug(): void;
}

/** What `run` may be told besides the environment. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly log?: Log;
}

/** The settings of a process, and what is odd about them without being wrong. */
export interface ReadSettings {
  readonly config: BaseConfig;
  /** The same without what is secret, for administrators. */
  readonly inForce: readonly SettingInForce[];
  readonly warnings: readonly string[];
}

/**
 * Reads the settings of all given services at once, from the environment and the configuration file.
 * @throws ConfigError with every fault.
 */
export function readSettings(services: readonly Service[], given?: RunOptions['env']): ReadSettings {
  const settings: Settings = Object.assign({}, baseSettings, ...services.map((service) => service.settings));
  const { env, fromFile, warnings } = withConfigFile(given ?? process.env, {
    settings,
    complete: serviceNames.every((name) => services.some((service) => service.name === name)),
    // Who gives an environment means that and nothing else.
    ...(given === undefined && { fallback: CONFIG_FILE_DEFAULT }),
  });
  const config = readConfig(settings, env) as ConfigOf<typeof baseSettings>;
  const faults = [
    ...metricsGuardFaults(config),
    ...readinessFaults(config),
    ...busLoginFaults(config, services),
    ...databaseFaults(
      config,
      services.map(({ name }) => name),
    ),
    ...services.flatMap((service) => service.check(config as never)),
  ];
  if (faults.length > 0) throw new ConfigError(faults);
  return { config, inForce: settingsInForce(settings, { env, fromFile }), warnings };
}

/** The settings alone. @throws ConfigError with every fault. */
export const configOf = (services: readonly Service[], env?: RunOptions['env']): BaseConfig =>
  readSettings(services, env).config;

/**
 * Runs one service, or all of them, in this process. The order is written in docs/ordering.md: listen (health only),
 * migrate, open what needs the database, serve; the bus may come at any time.
 */
export async function run(services: readonly Service[], options: RunOptions = {}): Promise<Running> {
  const read = readSettings(services, options.env);
  const { config, warnings } = read;
  const shared = openProcess(services, read, options.log);
  for (const warning of warnings) shared.log.warn({ warning }, 'about the configuration file');
  const edge = services.some((service) => service.name === 'gateway');
  let phase: Phase = 'starting';

  const app = createApp({ ...shared, service: services[0]?.name ?? 'none', phase: () => phase });
  // With the gateway here the listening app is the public one: answers to peers live on an app that never listens.
  const inner = edge ? createApp({ ...shared, service: 'internal', phase: () => phase }) : app;
  const members: Member[] = [];
  for (const service of services) members.push(await openMember(service, shared));
  for (const { opened } of members)
    await opened.edge?.({ app, local: services.map(({ name }) => name), phase: () => phase });
  const pool = members[0]?.database.pool;
  if (pool !== undefined) mountProbes(app, { ...shared, phase: () => phase, pool });
  for (const member of members) mountMember(member, { app, inner }, shared);
  await Promise.all([app.ready(), inner.ready()]);
  const url = await listen(app, config);

  const announcer = createKeyAnnouncer(services, shared);
  const running: RunningJob[] = [];
  const consumers: RunningConsumer[] = [];
  const drain = () => {
    if (phase !== 'draining') shared.log.info('no longer ready, the process ends');
    phase = 'draining';
  };
  const ending = endingOf(config, {
    drain,
    stop: async () => {
      drain();
      await closeApp(app, config);
      await Promise.all([...running, ...consumers].map((one) => one.stop()));
      await announcer?.stop();
      await Promise.all(members.map(({ relay }) => relay.drain(2000)));
      for (const { opened } of members.toReversed()) await opened.close?.();
      // Last: open requests, consumers and jobs ask the other services of the process through it.
      if (inner !== app) await inner.close();
      await closeProcess(shared, members);
    },
  });

  try {
    await prepareDatabase(members, shared.config, shared.log);
    await shared.feed.start();
    for (const { opened } of members) await opened.prepare?.();
    await announcer?.begin();
    for (const { opened } of members) await opened.start?.();
    for (const member of members) await startMember(member, shared, running, consumers);
    running.push(watchDependencies(members.map(({ opened, database }) => ({ ctx: opened.ctx, database }))));
    phase = 'serving';
  } catch (error) {
    await ending.stop();
    throw error;
  }
  shared.log.info({ url, services: services.map(({ name }) => name) }, 'serving');
  return {
    url,
    metrics: shared.metrics,
    ...ending,
    toggleDebug() {
      const own = members.map(({ opened }) => opened.ctx.log);
      const level = toggleDebug([shared.rootLog, shared.log, ...own], config.LOG_LEVEL);
      shared.log.warn({ log_level: level }, 'log level changed');
    },
  };
}

const processNameOf = (services: readonly Service[]): string =>
  (services.length === 1 && services[0]?.name) || 'all-in-one';

/** Credentials that are not there would leave the process without the bus for ever, and nobody told at its start. */
function busLoginFaults({ NATS_CREDS: creds }: BaseConfig, services: readonly Service[]): string[] {
  if (creds === undefined) return [];
  const file = credsFile(creds, processNameOf(services));
  return existsSync(file) ? [] : [`NATS_CREDS names ${file}, which is not there`];
}

function openProcess(
  services: readonly Service[],
  { config, inForce }: ReadSettings,
  given: Log | undefined,
): Process {
  const names = services.map(({ name }) => name);
  const name = processNameOf(services);
  const rootLog =
    given ??
    createLog({
      level: config.LOG_LEVEL,
      pretty: readByPerson(config.NODE_ENV, process.stdout),
    });
  const log = rootLog.child({ service: name });
  const metrics = createMetrics({ runtime: true });
  describeProcess(metrics, names);
  const secrets = openSecrets(config);
  const bus = connectBus({
    url: config.NATS_URL,
    name,
    creds: config.NATS_CREDS,
    // A login that all share may make them from anywhere; credentials of a service may when it is one of these.
    managesStreams: config.NATS_CREDS === undefined || names.some((one) => managesBusStreams(one)),
    log,
    onCertificate: noteCertificate(metrics, { service: name, dep: 'nats' }),
    replicas: config.NATS_STREAM_REPLICAS,
    revocationsMaxAgeSeconds: revocationsMaxAgeSeconds(config),
  });
  const feed = createRevocationFeed({ bus, log, metrics, service: name });
  const peers = createPeers({ config, secrets, local: names, name, log, metrics });
  const verifier = createVerifier({
    keys: async () => (await peers.peer.ask(verificationKeys, {})).keys,
    status: (session_id, kid, traceparent) =>
      peers.peer.ask(sessionStatus, { session_id, kid }, { traceparent }),
    issuer: config.TOKEN_ISSUER,
    audience: config.TOKEN_AUDIENCE,
    jwksMaxAgeSeconds: config.JWKS_MAX_AGE_SECONDS,
    feed,
    log,
  });
  return { config, inForce, rootLog, log, metrics, secrets, bus, feed, peers, verifier };
}

// A session's entry counts while an access token may live, a key's while a verifier may still hold the old JWKS.
const revocationsMaxAgeSeconds = (config: BaseConfig) =>
  Math.max(config.ACCESS_TOKEN_TTL_SECONDS, 2 * config.JWKS_MAX_AGE_SECONDS) + 300;

async function openMember(service: Service, shared: Process): Promise<Member> {
  const { config, metrics, bus, feed, secrets, peers } = shared;
  const log = shared.rootLog.child({ service: service.name });
  const database = openDatabase(service.name, config, log, metrics);
  const relay = createRelay({
    pool: database.pool,
    bus,
    log,
    metrics,
    service: service.name,
    heartbeat: service.name === 'token',
  });
  const base: Context = {
    name: service.name,
    config,
    db: database.db,
    pool: database.pool,
    log,
    metrics,
    peer: peers.peer,
    bus,
    relay,
    feed,
    secrets,
  };
  return { service, opened: await service.open(base), database, relay };
}

const answer = answersOf<Context>();

function mountMember(
  member: Member,
  on: { app: FastifyInstance; inner: FastifyInstance },
  shared: Process,
): void {
  const { service, opened, database } = member;
  const own: Answer<Context>[] = [
    answer(healthOf(service.name), () => async () => {
      const parts = await Promise.all([probeDatabase(database.pool), probeBus(shared.bus)]);
      return { components: [...parts, ...((await opened.health?.()) ?? [])] };
    }),
    answer(documentOf(service.name), () => async () => ({
      paths: openApiPaths(service.name, service.routes),
    })),
    answer(settingsOf(service.name), () => async () => ({
      settings: shared.inForce.filter(({ name }) => name in baseSettings || name in service.settings),
    })),
    ...deadLetterAnswers(service.name, service.consumers),
  ];
  mountRoutes(on.app, service.routes, opened.ctx, shared.verifier);
  mountAnswers(on.inner, [...service.answers, ...own], opened.ctx);
  shared.peers.serveLocally(service.name, on.inner);
}

async function startMember(
  { service, opened, relay }: Member,
  shared: Process,
  jobs: RunningJob[],
  consumers: RunningConsumer[],
): Promise<void> {
  const { ctx } = opened;
  relay.start();
  for (const definition of service.consumers) consumers.push(await startConsumer(definition, ctx));
  for (const job of service.jobs) jobs.push(startJob(job as never, ctx));
  jobs.push(startJob(deadLetterPurge(service.name), ctx));
  const ask = async (ids: string[]) => (await shared.peers.peer.ask(recordedEvents, { ids })).recorded;
  jobs.push(
    startJob(
      {
        name: `${service.name}-outbox-confirm`,
        everySeconds: 5,
        instances: 'one',
        run: async () => {
          await confirmRecorded({
            pool: ctx.pool,
            ask,
            metrics: ctx.metrics,
            log: ctx.log,
            service: service.name,
            bus: ctx.bus,
          });
        },
      },
      ctx,
    ),
  );
}

async function listen(app: FastifyInstance, config: BaseConfig): Promise<string> {
  try {
    return await app.listen({ host: config.HOST, port: config.PORT });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new ConfigError([
      `PORT ${config.PORT} is taken: stop the program that listens there, or set PORT to another`,
    ]);
  }
}

async function closeProcess(shared: Process, members: readonly Member[]): Promise<void> {
  await shared.verifier.close();
  await shared.feed.close();
  await shared.bus.close();
  await shared.peers.close();
  await Promise.all(members.map(({ database }) => database.close()));
}
