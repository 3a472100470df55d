import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { checkGivenServer, SERVERS, serverInPlace, whyMissing } from './servers.mjs';

afterEach(() => vi.unstubAllEnvs());

/** A program that says it is that version. */
function program(version: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'gatehouse-server-')), 'nats-server');
  writeFileSync(path, `#!/bin/sh\necho 'nats-server: v${version}'\n`);
  chmodSync(path, 0o755);
  return path;
}

test.each(['2.10.0', '2.10.27'])(
  'a given nats-server %s is the 2.10 that the tests want',
  async (version) => {
    vi.stubEnv('NATS_SERVER_210', program(version));
    await checkGivenServer(SERVERS.nats210);
    expect(serverInPlace(SERVERS.nats210)).toBe(false);
    expect(whyMissing(SERVERS.nats210)).toBeUndefined();
  },
);

test.each(['2.9.10', '2.11.0', '2.15.1', '3.10.0'])('a given nats-server %s is not', async (version) => {
  vi.stubEnv('NATS_SERVER_210', program(version));
  await expect(checkGivenServer(SERVERS.nats210)).rejects.toThrow(
    `NATS_SERVER_210 names nats-server-2.10 ${version}, which does not fit: give a 2.10`,
  );
});

test('of the server that everything needs, the newest does, and 2.10 does not', async () => {
  vi.stubEnv('NATS_SERVER', program('2.15.1'));
  await checkGivenServer(SERVERS.nats);
  vi.stubEnv('NATS_SERVER', program('2.10.27'));
  await expect(checkGivenServer(SERVERS.nats)).rejects.toThrow('give 2.11 or newer');
});

test('only what is optional may be missing', () => {
  expect(SERVERS.nats210.optional).toBe(true);
  for (const server of [SERVERS.prometheus, SERVERS.kustomize, SERVERS.compose, SERVERS.pgbouncer])
    expect(server.optional).toBe(true);
  for (const server of [SERVERS.nats, SERVERS.redis]) expect(whyMissing(server)).toBeUndefined();
});

test('a program whose distribution builds it without its version is taken, an older one that says it is not', async () => {
  vi.stubEnv('KUSTOMIZE', program('(devel)'));
  await checkGivenServer(SERVERS.kustomize);
  vi.stubEnv('KUSTOMIZE', program('4.5.4'));
  await expect(checkGivenServer(SERVERS.kustomize)).rejects.toThrow('give 5.0 or newer');
});
