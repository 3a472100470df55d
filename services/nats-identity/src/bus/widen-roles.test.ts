import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  findNatsServer,
  openBusFiles,
  type RunningServer,
  startNats,
  temporaryHome,
} from '@gatehouse/embedded';
import { createLog, type Running, run } from '@gatehouse/kit';
import { eventually, testDatabase, testEnv } from '@gatehouse/kit/testing';
import {
  type BusService,
  busInboxPrefix,
  busServices,
  busSubjectsOfAll,
  decodeJwt,
  encodeJwt,
  makePlatformBus,
  nkeyFromSeed,
  type PlatformBus,
} from '@gatehouse/nats-claims';
import { PermissionViolationError } from '@nats-io/nats-core';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { natsIdentity } from '../service.ts';

// An installation whose bus was made before services had anything to say of dead letters.
const home = temporaryHome('gatehouse-widen-');
const log = createLog({ service: 'test', level: 'fatal', pretty: false });
/** Its roles are pushed to the server by a job, which a busy machine may begin late. */
const PATIENCE_MS = 30_000;
let database: Awaited<ReturnType<typeof testDatabase>>;
let server: RunningServer;
let credsFolder: string;
let running: Running | undefined;
let env: Record<string, string>;

beforeAll(async () => {
  const folder = join(home.path, 'bus');
  mkdirSync(folder, { mode: 0o700 });
  const bundle = JSON.stringify(without(makePlatformBus(), busSubjectsOfAll));
  writeFileSync(join(folder, 'bundle.json'), bundle, { mode: 0o600 });
  const files = openBusFiles(folder);
  credsFolder = files.credsFolder;
  database = await testDatabase();
  server = await startNats({
    home: join(home.path, 'nats'),
    binary: findNatsServer().path,
    config: files.config,
  });
  env = testEnv({
    ...{ DATABASE_URL: database.url, NATS_URL: server.url },
    ...{ NATS_CREDS: files.credsFolder, NATS_BUS_BUNDLE: files.bundleFile },
  });
});
afterAll(async () => {
  await running?.stop();
  await server?.stop();
  await database?.drop();
  home.remove();
});

/** The bus as a release made it that had none of these subjects: the same keys, smaller roles. */
function without(bus: PlatformBus, subjects: readonly string[]): PlatformBus {
  const narrowed = <R extends { template: { pub?: { allow?: readonly string[] } } }>(role: R): R => {
    const { pub } = role.template;
    const allow = pub?.allow?.filter((subject) => !subjects.includes(subject));
    return { ...role, template: { ...role.template, pub: { ...pub, allow } } };
  };
  const { nats, sub, name = '', iat } = decodeJwt(bus.account.jwt);
  const keys = nats.signing_keys as Parameters<typeof narrowed>[0][];
  const jwt = encodeJwt(
    { sub, name, iat },
    { ...nats, signing_keys: keys.map(narrowed) },
    nkeyFromSeed(bus.operator.signing_seed),
  );
  return { ...bus, account: { ...bus.account, jwt, roles: bus.account.roles.map(narrowed) } };
}

/** Which of the subjects the server refuses to a service with the credentials that it has always had. */
async function refusedTo(service: BusService, subjects: readonly string[]): Promise<string[]> {
  const nc = await connect({
    servers: server.url,
    inboxPrefix: busInboxPrefix(service),
    authenticator: credsAuthenticator(readFileSync(join(credsFolder, `${service}.creds`))),
  });
  const refused: string[] = [];
  const watched = (async () => {
    for await (const status of nc.status())
      if (status.type === 'error' && status.error instanceof PermissionViolationError)
        refused.push(status.error.subject);
  })();
  for (const subject of subjects) nc.publish(subject);
  await nc.flush();
  await nc.close();
  await watched;
  return refused;
}

it(
  'a bus that an older release made lets every service tell what this one tells, after one start',
  async () => {
    for (const service of busServices)
      expect(await refusedTo(service, busSubjectsOfAll), service).toEqual([...busSubjectsOfAll]);
    running = await run([natsIdentity], { env, log });
    for (const service of busServices)
      await eventually(
        async () => expect(await refusedTo(service, busSubjectsOfAll), service).toEqual([]),
        PATIENCE_MS,
      );
    // No more than that.
    expect(await refusedTo('auth', ['session.refreshed'])).toEqual(['session.refreshed']);
  },
  2 * PATIENCE_MS,
);
