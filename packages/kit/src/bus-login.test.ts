import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findNatsServer, type RunningServer, startNats, temporaryHome } from '@gatehouse/embedded';
import {
  type BusService,
  busCreds,
  busServerConfig,
  makePlatformBus,
  managesBusStreams,
  publicBus,
} from '@gatehouse/nats-claims';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bus, connectBus, eventStream, revocationStream } from './bus.ts';
import { credsFile } from './bus-login.ts';
import { createLog } from './log.ts';
import { eventually } from './testing.ts';

const home = temporaryHome('gatehouse-bus-login-');
const made = makePlatformBus();
const creds = busCreds(made);
const lines: string[] = [];
const log = createLog({
  ...{ service: 'test', level: 'trace', pretty: false },
  destination: { write: (line: string) => void lines.push(line) },
});
const open: Bus[] = [];
let server: RunningServer;

const start = async (port?: number) => {
  const config = busServerConfig(publicBus(made), join(home.path, 'jwt'));
  server = await startNats({ home: home.path, binary: findNatsServer().path, config, port });
};
const write = (service: string, text = creds.get(service) ?? '') =>
  writeFileSync(join(home.path, `${service}.creds`), text, { mode: 0o600 });

function bus(name: BusService, path = home.path): Bus {
  const one = connectBus({
    url: server.url,
    name,
    creds: path,
    managesStreams: managesBusStreams(name),
    log,
  });
  open.push(one);
  return one;
}

beforeAll(async () => {
  for (const service of creds.keys()) write(service);
  await start();
});
afterAll(async () => {
  await Promise.all(open.map((one) => one.close()));
  await server?.stop();
  home.remove();
});

describe('signing in to the bus with credentials', () => {
  it('a service that may not make the streams waits until another has made them', async () => {
    const auth = bus('auth');
    await eventually(() => lines.some((line) => line.includes('the streams are not there yet')));
    expect(auth.up).toBe(false);
    const token = bus('token');
    await eventually(() => auth.up && token.up);
    expect(auth.createdAt(eventStream)).toBe(token.createdAt(eventStream));
    const nc = token.nc();
    if (nc === undefined) throw new Error('not connected');
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    expect((await jsm.streams.info(revocationStream)).config.subjects).toEqual(['revocation.>']);
  });

  it('credentials that are gone or damaged end nothing for good: the next connection reads them again', async () => {
    const gateway = bus('gateway');
    await eventually(() => gateway.up);
    const { port } = server;
    await server.kill();
    write('gateway', 'not credentials');
    await start(port);
    await eventually(() => lines.some((line) => line.includes('gateway.creds is no credentials file')));
    expect(gateway.up).toBe(false);
    write('gateway');
    await eventually(() => gateway.up);

    renameSync(join(home.path, 'audit.creds'), join(home.path, 'audit.away'));
    const audit = bus('audit');
    await eventually(() =>
      lines.some((line) => /NATS_CREDS: .*audit\.creds cannot be read \(ENOENT\)/.test(line)),
    );
    renameSync(join(home.path, 'audit.away'), join(home.path, 'audit.creds'));
    await eventually(() => audit.up);
  });

  it('a path may name the file itself; one that others can read is told of once', async () => {
    const file = join(home.path, 'nats-identity.creds');
    expect(credsFile(home.path, 'nats-identity')).toBe(file);
    expect(credsFile(file, 'nats-identity')).toBe(file);
    chmodSync(file, 0o644);
    const one = bus('nats-identity', file);
    await eventually(() => one.up);
    const told = lines.filter((line) => line.includes('its mode should be 0600'));
    expect(told).toHaveLength(1);
    expect(told[0]).toContain('nats-identity.creds');
  });

  it('a server that lost its streams and its accounts gets both again', async () => {
    const [token, auth] = [bus('token'), bus('auth')];
    await eventually(() => token.up && auth.up);
    const before = auth.createdAt(eventStream);
    const { port } = server;
    await server.kill();
    for (const lost of ['jetstream', 'jwt']) rmSync(join(home.path, lost), { recursive: true });
    await start(port);
    await eventually(() => token.up && auth.up && auth.createdAt(eventStream) !== before);
    expect(auth.createdAt(eventStream)).toBe(token.createdAt(eventStream));
  });

  it('a store that a password guarded before stays where it is, and new streams are made beside it', async () => {
    const old = temporaryHome('gatehouse-bus-upgrade-');
    const binary = findNatsServer().path;
    const login = { user: 'gatehouse', password: 'of-the-release-before' };
    const before = await startNats({ home: old.path, binary, login });
    const first = connectBus({ url: before.url, name: 'all-in-one', log });
    await eventually(() => first.up);
    const created = first.createdAt(eventStream);
    await first.close();
    await before.stop();
    const config = busServerConfig(publicBus(made), join(old.path, 'jwt'));
    const after = await startNats({ home: old.path, binary, config });
    const second = connectBus({ url: after.url, name: 'all-in-one', creds: home.path, log });
    await eventually(() => second.up);
    expect(second.createdAt(eventStream)).not.toBe(created);
    await second.close();
    await after.stop();
    old.remove();
  });

  it('no seed and no JWT of it stands in the log', () => {
    expect(lines.length).toBeGreaterThan(0);
    for (const { seed, jwt } of made.account.users) {
      expect(lines.join('')).not.toContain(seed);
      expect(lines.join('')).not.toContain(jwt);
    }
  });
});
