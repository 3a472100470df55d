import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { busServices, decodeJwt, parseCreds, readPlatformBus } from '@gatehouse/nats-claims';
import { afterAll, describe, expect, it } from 'vitest';
import { openBusFiles, openBusMounts } from './bus-files.ts';
import { findNatsServer, findNatsServer210, repositoryRoot } from './find-binary.ts';
import { temporaryHome } from './home.ts';

const home = temporaryHome('gatehouse-bus-files-');
afterAll(() => home.remove());

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();

describe('the files of a bus', () => {
  it('are for their owner only, and each service’s credentials are its own user’s', () => {
    const folder = join(home.path, 'one');
    const { credsFolder, bundleFile } = openBusFiles(folder);
    const bus = readPlatformBus(readFileSync(bundleFile, 'utf8'));
    expect(filesBelow(credsFolder)).toEqual(busServices.map((service) => `${service}.creds`).toSorted());
    for (const file of filesBelow(folder))
      expect([file, statSync(join(folder, file)).mode & 0o077]).toEqual([file, 0]);
    for (const { name, seed, jwt } of bus.account.users) {
      expect(parseCreds(readFileSync(join(credsFolder, `${name}.creds`), 'utf8'))).toEqual({ jwt, seed });
      expect(decodeJwt(jwt)).toMatchObject({ name, nats: { type: 'user' } });
    }
    const open = readFileSync(join(folder, 'bus.json'), 'utf8');
    expect(open).not.toMatch(/\bS[OAU][A-Z2-7]{56}\b/);
  });

  it('are finished by the next start when the first was killed at any step', () => {
    const folder = join(home.path, 'half');
    const first = openBusFiles(folder);
    const bundle = readFileSync(first.bundleFile, 'utf8');
    const creds = join(first.credsFolder, 'audit.creds');
    const before = readFileSync(creds, 'utf8');
    for (const lost of [[], [creds], [creds, join(first.credsFolder, 'token.creds')]]) {
      for (const file of [join(folder, 'bus.json'), ...lost]) rmSync(file);
      writeFileSync(`${creds}.new`, 'half of i');
      expect(openBusFiles(folder).config).toBe(first.config);
      expect(readFileSync(creds, 'utf8')).toBe(before);
      expect(readFileSync(first.bundleFile, 'utf8')).toBe(bundle);
      expect(filesBelow(first.credsFolder).filter((name) => name.endsWith('.new'))).toEqual([]);
    }
  });

  it('after the bus was taken over its private keys are not made anew', () => {
    const folder = join(home.path, 'taken');
    const first = openBusFiles(folder);
    rmSync(first.bundleFile);
    expect(openBusFiles(folder)).toEqual(first);
    expect(existsSync(first.bundleFile)).toBe(false);
  });

  it('a damaged one is one line that names the file and shows nothing of it', () => {
    const folder = join(home.path, 'damaged');
    const { bundleFile } = openBusFiles(folder);
    rmSync(join(folder, 'bus.json'));
    writeFileSync(bundleFile, readFileSync(bundleFile, 'utf8').replace('"version":1', '"version":7'));
    expect(() => openBusFiles(folder)).toThrow(`${bundleFile} is damaged: restore it from a copy`);
  });
});

describe('the bus in containers', () => {
  it('each mounts a folder that holds its own credentials and nobody else’s', () => {
    const folder = join(home.path, 'mounts');
    openBusMounts(folder, '/data/jwt');
    for (const service of busServices)
      expect(readdirSync(join(folder, 'creds', service))).toEqual([`${service}.creds`]);
    expect(readdirSync(join(folder, 'server'))).toEqual(['bus.conf']);
    expect(readdirSync(join(folder, 'private'))).toEqual(['bundle.json']);
  });

  const servers = [findNatsServer().path, findNatsServer210()?.path].filter((path) => path !== undefined);
  it.each(servers)('%s takes the configuration that compose.yaml gives it', (binary) => {
    const folder = join(home.path, 'compose');
    openBusMounts(join(folder, 'bus'), join(folder, 'jwt'));
    cpSync(join(folder, 'bus/server'), join(folder, 'etc/bus'), { recursive: true });
    cpSync(join(repositoryRoot, 'infra/nats/nats-server.conf'), join(folder, 'etc/gatehouse.conf'));
    const answer = execFileSync(binary, ['-t', '-c', join(folder, 'etc/gatehouse.conf')], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    expect(answer).toBeDefined();
  });
});
