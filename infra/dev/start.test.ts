import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findFreePort, isAlive, repositoryRoot, temporaryHome } from '@gatehouse/embedded';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const START_TIMEOUT_MS = 90_000;

interface Start {
  process: ChildProcess;
  output: () => string;
  exited: Promise<number | null>;
}

const home = temporaryHome('gatehouse-start-test-');
const running: Start[] = [];
let port = 0;

function start(settings: Record<string, string> = {}): Start {
  const child = spawn(process.execPath, [join(repositoryRoot, 'infra/dev/start.mjs')], {
    env: {
      ...process.env,
      GATEHOUSE_HOME: home.path,
      PORT: String(port),
      NODE_ENV: 'development',
      DATABASE_URL: '',
      NATS_URL: '',
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  child.stderr.on('data', (chunk) => {
    text += chunk;
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const one = { process: child, output: () => text, exited };
  running.push(one);
  return one;
}

async function until(check: () => boolean, what: () => string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!check()) {
    if (performance.now() > deadline) throw new Error(`timed out: ${what()}`);
    await delay(25);
  }
}

async function ready(one: Start): Promise<Start> {
  await until(() => one.output().includes('Ctrl-C') || one.process.exitCode !== null, one.output);
  expect(one.output()).toContain(`Gatehouse is ready at http://localhost:${port}`);
  return one;
}

interface Stack {
  pids: Record<'launcher' | 'services' | 'postgres' | 'nats', number>;
}

const stack = () => JSON.parse(readFileSync(join(home.path, 'stack.json'), 'utf8')) as Stack;
const runs = (line: string) =>
  execFileSync('/bin/sh', ['-c', line], {
    encoding: 'utf8',
    env: { PATH: `${process.env.PATH}:${join(home.path, 'bin')}` },
  });

/** For machines without curl: as much of it as the printed lines use. Last on the PATH. */
function writeCurlStandIn(): void {
  const script = `#!${process.execPath}
const words = process.argv.slice(2);
const after = (flag) => words[words.indexOf(flag) + 1];
const headers = words.includes('-H') ? [after('-H').split(/: ?(.*)/s).slice(0, 2)] : [];
const body = words.includes('-d') ? { method: 'POST', body: after('-d') } : {};
fetch(words.find((word) => word.startsWith('http')), { headers, ...body }).then((answer) => answer.text()).then((text) => process.stdout.write(text));
`;
  mkdirSync(join(home.path, 'bin'), { recursive: true });
  writeFileSync(join(home.path, 'bin/curl'), script, { mode: 0o755 });
}
/** Runs the shell lines of a section of the README as they are printed, on this installation; returns what they say. */
function readmeLines(section: string, password: string): string {
  const readme = readFileSync(join(repositoryRoot, 'README.md'), 'utf8');
  const text = readme.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? '';
  const lines = [...text.matchAll(/^```bash\n(.*?)^```$/gms)].map((match) => match[1]).join('\n');
  // Where it differs from the reader's: the installation's folder, and where the file with the creds goes.
  const creds = join(home.path, 'shop.creds');
  const here = lines
    .replaceAll('./.data/', `${home.path}/`)
    .replaceAll('../../shop.creds', creds)
    .replaceAll('shop.creds', (found, at: number, all: string) =>
      all.slice(0, at).endsWith('/') ? found : creds,
    );
  return execFileSync('/bin/sh', ['-e', '-c', here], {
    encoding: 'utf8',
    cwd: repositoryRoot,
    env: {
      ...process.env,
      password,
      GATEHOUSE_HOME: home.path,
      GATEHOUSE_SESSION_FILE: join(home.path, 'session.json'),
    },
  });
}

/** The command, signed in as the README's lines have left it. */
function gatehouse(...words: string[]): string {
  return execFileSync(process.execPath, [join(repositoryRoot, 'packages/cli/src/main.ts'), ...words], {
    encoding: 'utf8',
    env: {
      ...process.env,
      GATEHOUSE_URL: `http://localhost:${port}`,
      GATEHOUSE_SESSION_FILE: join(home.path, 'session.json'),
    },
  });
}

function operatorKeys(): string[] {
  const { signing_keys } = JSON.parse(gatehouse('operator', 'get', 'gatehouse', '--json')) as {
    signing_keys: { state: string }[];
  };
  return signing_keys.map(({ state }) => state).toSorted();
}

const curlLines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('curl '));

beforeAll(async () => {
  port = await findFreePort();
  writeCurlStandIn();
});

afterAll(async () => {
  for (const one of running) one.process.kill('SIGTERM');
  await Promise.all(running.map((one) => one.exited));
  home.remove();
});

describe('npm start', { timeout: START_TIMEOUT_MS * 2 }, () => {
  test('first start: the printed curl lines work, secrets are in no log and no readable file, and all of it stops', async () => {
    const one = await ready(start());
    const password = /password {2}(\S+)/.exec(one.output())?.[1] ?? '';
    expect(password).toHaveLength(20);
    const [login, me, jwks] = curlLines(one.output()).map(
      (line) => JSON.parse(runs(line)) as Record<string, unknown>,
    );
    expect(login).toMatchObject({ token_type: 'Bearer' });
    expect(me).toMatchObject({ email: 'admin@gatehouse.example' });
    expect(jwks).toHaveProperty('keys');

    const heard = readmeLines('Your first NATS account', password);
    expect(heard).toContain('orders.new one espresso');
    expect(heard).toMatch(/bus .*127\.0\.0\.1/);

    const { pids } = stack();
    const credsFile = join(home.path, 'nats/creds/all-in-one.creds');
    // The services have taken their bus over: its private keys are in the database only.
    expect(existsSync(join(home.path, 'nats/bundle.json'))).toBe(false);
    const secrets = JSON.parse(readFileSync(join(home.path, 'secrets.json'), 'utf8')) as Record<
      string,
      string
    >;
    const hidden = [
      password,
      secrets.GATEHOUSE_SECRET,
      secrets.postgresPassword,
      /^SU[A-Z2-7]{56}$/m.exec(readFileSync(credsFile, 'utf8'))?.[0],
      secrets.ENCRYPTION_KEYS,
    ];
    for (const secret of hidden) expect(secret?.length).toBeGreaterThan(8);
    for (const name of ['stack.json', 'gatehouse.log', 'postgres.log', 'nats.log', 'nats.conf']) {
      const text = readFileSync(join(home.path, name), 'utf8');
      for (const secret of hidden) expect(text).not.toContain(secret ?? '');
    }
    for (const name of ['secrets.json', 'nats.conf', 'gatehouse.log', 'nats/creds/all-in-one.creds'])
      expect(statSync(join(home.path, name)).mode & 0o077).toBe(0);
    for (const pid of Object.values(pids)) {
      const words = execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], { encoding: 'utf8' });
      for (const secret of hidden) expect(words).not.toContain(secret ?? '');
    }
    expect(existsSync(join(home.path, 'first-admin.json'))).toBe(false);

    const second = start();
    expect(await second.exited).toBe(1);
    expect(second.output().trim()).toMatch(
      /^gatehouse: an installation already runs from .+: stop it first.+$/,
    );

    one.process.kill('SIGINT');
    expect(await one.exited).toBe(0);
    for (const pid of Object.values(pids)) expect(isAlive(pid)).toBe(false);
    expect(existsSync(join(home.path, 'stack.json'))).toBe(false);
  });

  test('a later start shows no credentials, starts again what is shot, and is itself recovered after kill -9', async () => {
    const one = await ready(start({ AUDIT_CHECKPOINT_SECONDS: '1' }));
    expect(one.output()).not.toContain('First administrator');
    for (const part of ['nats', 'postgres', 'services'] as const) {
      const before = stack().pids[part];
      process.kill(before, 'SIGKILL');
      await until(() => stack().pids[part] !== before, one.output);
    }
    // What its owner adds to the operator of the bus waits until the server has started with it.
    gatehouse('operator', 'key', 'add', 'gatehouse');
    expect(operatorKeys()).toEqual(['active', 'pending']);
    await until(() => existsSync(join(home.path, 'audit-checkpoints')), one.output);
    const { pids } = stack();
    process.kill(pids.launcher, 'SIGKILL');
    one.process.kill('SIGKILL');
    await one.exited;

    const again = await ready(start());
    for (const pid of Object.values(pids)) expect(isAlive(pid)).toBe(false);
    for (const line of curlLines(again.output())) expect(JSON.parse(runs(line))).not.toHaveProperty('code');
    await until(() => operatorKeys().join() === 'active,active', again.output);
    // What was vouched for before every kill is still in the trail.
    const log = readFileSync(join(home.path, 'gatehouse.log'), 'utf8');
    expect(log).not.toContain('the audit trail is not the one');
    again.process.kill('SIGTERM');
    expect(await again.exited).toBe(0);
  });

  test('a taken port, a home that cannot be made, and a database out of reach are one line each', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve));
    const taken = start();
    expect(await taken.exited).toBe(1);
    await new Promise((resolve) => holder.close(resolve));
    expect(taken.output()).toBe(
      `gatehouse: port ${port} of 127.0.0.1 is taken: stop what listens there, or choose another with PORT\n`,
    );

    const nowhere = start({ GATEHOUSE_HOME: '/dev/null/x' });
    expect(await nowhere.exited).toBe(1);
    expect(nowhere.output()).toMatch(/^gatehouse: cannot write to \/dev\/null\/x: .+\n$/);

    const free = await findFreePort();
    const unreachable = start({ DATABASE_URL: `postgres://x:secret-word@127.0.0.1:${free}/x` });
    expect(await unreachable.exited).toBe(1);
    expect(unreachable.output()).toMatch(/^gatehouse: nothing listens at the database address: .+\n$/);
    expect(unreachable.output()).not.toContain('secret-word');
  });
});
