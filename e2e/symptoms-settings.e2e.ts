import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { findFreePort, repositoryRoot, startProcess } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mode, newPerson, type Platform, startPlatform } from './platform.ts';
import type { sectionsOfSettings } from './sections-of-settings.ts';
import type { Step } from './symptom-page.ts';
import { openStage, type Stage } from './symptom-stage.ts';

// docs/runbook.md, followed: what wrong settings do, seen with the commands of the page, and gone with right ones.
type Section = (typeof sectionsOfSettings)[number];
type More = Readonly<Record<string, string>>;

/** Reads a step of a section, with what is wrong in the environment; the page's port is its `PORT`. */
const read = (stage: Stage, section: Section, step: Step, env: More = {}) =>
  stage.read(section, step, {
    env,
    fill: (command) =>
      command
        .replace(/\bnode services\//, `node ${repositoryRoot}/services/`)
        .replaceAll('8080', env.PORT ?? '8080'),
  });

const mainOf = (service: string) => join(repositoryRoot, `services/${service}/src/main.ts`);

/** What a process says that does not start. */
function refusalOf({ env }: Platform, service: string, more: More): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [mainOf(service)], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env, ...more },
    timeout: 90_000,
  });
  expect(status, stdout + stderr).toBeGreaterThan(0);
  return stdout + stderr;
}

/** One more process of a service. */
async function startAt({ platform, gatehouse }: Stage, service: string, port: number) {
  const url = `http://127.0.0.1:${port}`;
  const started = await startProcess({
    name: service,
    binary: process.execPath,
    args: [mainOf(service)],
    env: { PATH: process.env.PATH, ...platform.env, PORT: String(port) },
    cwd: repositoryRoot,
    logFile: join(gatehouse.home, 'another.log'),
    stop: { signal: 'SIGTERM', timeoutMs: 20_000 },
    isReady: async () => (await fetch(`${url}/health/ready`).catch(() => undefined))?.status === 200,
    timeoutMs: 60_000,
  });
  return { url, stop: () => started.stop() };
}

const canTellWhoListens = ['ss', 'lsof'].some((tool) => spawnSync(tool, ['-v']).error === undefined);

const client = '198.51.100.7';
/** As a proxy on the same machine passes it on. */
const throughProxy = (platform: Platform) =>
  platform.api.post(
    '/api/auth/login',
    { email: `${randomBytes(6).toString('hex')}@example.com`, password: 'WrongPassword123' },
    { headers: { 'x-forwarded-for': client } },
  );

describe('with a proxy and a scraper that the settings do not know', () => {
  let platform: Platform;
  let stage: Stage;
  beforeAll(async () => {
    const env = {
      TRUST_PROXY: '10.0.0.0/8',
      METRICS_GUARD: 'cidr',
      METRICS_GUARD_ALLOWLIST: '10.0.0.0/8',
    };
    platform = await startPlatform({ env });
    stage = await openStage(platform, 'http://127.0.0.1:9');
  });
  afterAll(async () => {
    await stage?.close();
    await platform?.close();
  });

  it('Wrong client address: everybody has the proxy’s', async () => {
    await throughProxy(platform);
    const said = await eventually(async () => {
      const text = await read(stage, 'Wrong client address', 'Cause');
      expect(text).toMatch(/^127\.0\.0\.1$/m);
      return text;
    });
    expect(said).not.toContain(client);
    expect(said).toMatch(/TRUST_PROXY +.*10\.0\.0\.0\/8/);
  });

  it('Metrics answer 403: the log names the guard and the address that it saw', async () => {
    const said = await read(stage, 'Metrics answer 403', 'Cause');
    expect(said).toMatch(/^403$/m);
    expect(said).toMatch(/"guard":"cidr"/);
    expect(said).toMatch(/"client_ip":"127\.0\.0\.1"/);
  });
});

describe('with the settings that the page tells', () => {
  let platform: Platform;
  let stage: Stage;
  beforeAll(async () => {
    const env = { TRUST_PROXY: 'loopback', METRICS_GUARD: 'cidr', METRICS_GUARD_ALLOWLIST: '127.0.0.0/8' };
    platform = await startPlatform({ env });
    stage = await openStage(platform, 'http://127.0.0.1:9');
  });
  afterAll(async () => {
    await stage?.close();
    await platform?.close();
  });

  it('Wrong client address: the client’s own is in the audit', async () => {
    await eventually(async () => {
      await throughProxy(platform);
      expect(await read(stage, 'Wrong client address', 'Mended')).toMatch(new RegExp(`^${client}$`, 'm'));
    }, 20_000);
  });

  it('Metrics answer 403: the page is served', async () => {
    expect(await read(stage, 'Metrics answer 403', 'Mended')).toMatch(/^200$/m);
  });

  it('It refuses to start: each line names a setting and what is wrong with it', async () => {
    const wrong = { GATEHOUSE_SECRET: '', DATABASE_POOL_MAX: 'many' };
    const said = await read(stage, 'It refuses to start', 'Cause', wrong);
    expect(said).toMatch(/GATEHOUSE_SECRET/);
    expect(said).toMatch(/DATABASE_POOL_MAX/);
    expect(said).toMatch(/failed +settings/);
    expect(await read(stage, 'It refuses to start', 'Mended')).not.toMatch(/GATEHOUSE_SECRET|cannot be used/);
  });

  it('An encryption key is missing: the start names it, the doctor how many records, and putting it back mends it', async () => {
    await newPerson(platform.api);
    const more = {
      ENCRYPTION_KEYS: `k9:${randomBytes(32).toString('base64url')}`,
      ENCRYPTION_CURRENT_KEY_ID: 'k9',
    };
    expect(refusalOf(platform, 'nats-identity', { ...more, PORT: '0' })).toMatch(
      /ENCRYPTION_KEYS lacks k1, (?:under )?which /,
    );
    const said = await read(stage, 'An encryption key is missing', 'Cause', more);
    expect(said).toMatch(/failed +keys\.encryption .*lacks k1/);
    expect(said).toMatch(/k1: \d+ records? cannot be read/);
    expect(await read(stage, 'An encryption key is missing', 'Mended')).toMatch(/ok +keys\.encryption/);
  });

  const edge = mode === 'one' ? 'all-in-one' : 'gateway';

  it.skipIf(!canTellWhoListens)(
    'Port taken: the line names port and setting, the cause names who listens, and with another port it starts',
    async () => {
      const PORT = new URL(platform.url).port;
      expect(refusalOf(platform, edge, { PORT })).toMatch(new RegExp(`PORT ${PORT} is taken: .*set PORT`));
      const said = await read(stage, 'Port taken', 'Cause', { PORT });
      expect(said).toMatch(new RegExp(`\\b${platform.pidOf(edge)}\\b`));
      expect(said).toContain('{"status":"alive"}');
      const other = await startAt(stage, edge, await findFreePort());
      try {
        const ready = await read(stage, 'Port taken', 'Mended', { GATEWAY: other.url });
        expect(ready).toContain('"status":"ready"');
      } finally {
        await other.stop();
      }
    },
  );
});
