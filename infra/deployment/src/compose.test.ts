import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findCompose, repositoryRoot } from '@gatehouse/embedded';
import { afterAll, describe, expect, it } from 'vitest';
import { settings } from './catalogue.ts';
import { type ComposeFile, composeFaults, loadCompose } from './compose.ts';

const program = findCompose()?.path ?? '';
if (program === '') console.warn('the compose files are not loaded: there is no Docker Compose here');
const infra = join(repositoryRoot, 'infra');
const work = mkdtempSync(join(tmpdir(), 'gatehouse-compose-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Which file is filled in for which. */
const examples: Readonly<Record<string, string>> = {
  'compose.prod.yaml': 'env.production.example',
  'compose.yaml': 'env.example',
};
const files = Object.keys(examples);

const exampleOf = (file: string) => readFileSync(join(infra, examples[file] ?? ''), 'utf8');
const linesOf = (text: string) =>
  [...text.matchAll(/^([A-Z0-9_]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value] as const);

/** What an operator is to fill in; the rest may stay empty. */
const toFillIn =
  /^(?:POSTGRES_.*PASSWORD|REDIS_PASSWORD|GATEHOUSE_SECRET|ENCRYPTION_KEYS|TOKEN_ISSUER|CORS_ORIGINS)$/;

/** The example as an operator fills it in. */
function envFile(file: string, overrides: Readonly<Record<string, string>> = {}): string {
  const path = join(work, `${randomBytes(4).toString('hex')}.env`);
  const filled = linesOf(exampleOf(file)).map(([name, value]) => [
    name,
    value !== '' || !toFillIn.test(name)
      ? value
      : name === 'TOKEN_ISSUER'
        ? 'https://id.example.com'
        : 'filled-in',
  ]);
  const all = { ...Object.fromEntries(filled), ...overrides };
  writeFileSync(
    path,
    Object.entries(all)
      .map(([name, value]) => `${name}=${value}`)
      .join('\n'),
  );
  return path;
}

const load = (file: string, overrides?: Readonly<Record<string, string>>) =>
  loadCompose(program, { file: join(infra, file), envFile: envFile(file, overrides) });

describe('the example of an env file', () => {
  it.each(files)('%s: holds every variable that the file puts in, and no other but settings', (file) => {
    const text =
      readFileSync(join(infra, file), 'utf8') +
      (file === 'compose.yaml' ? readFileSync(join(infra, 'compose.prod.yaml'), 'utf8') : '');
    const used = new Set([...text.matchAll(/(?<!\$)\$\{([A-Z_]+)/g)].map((match) => match[1] ?? ''));
    const there = new Set(linesOf(exampleOf(file)).map(([name]) => name));
    if (file === 'compose.prod.yaml')
      expect([...used].filter((name) => name !== 'COMPOSE_ENV_FILE' && !there.has(name))).toEqual([]);
    expect(
      [...there].filter(
        (name) => !used.has(name) && settings[name] === undefined && name !== 'COMPOSE_PROFILES',
      ),
    ).toEqual([]);
  });

  it.each(files)('%s: has no secret in it', (file) => {
    const secret = linesOf(exampleOf(file)).filter(([name]) =>
      /PASSWORD|SECRET|ENCRYPTION_KEYS|_URL$/.test(name),
    );
    expect(secret.length).toBeGreaterThan(3);
    expect(secret.filter(([, value]) => value !== '')).toEqual([]);
  });
});

describe.skipIf(program === '')('the compose files', () => {
  it.each(files)('%s: Compose itself takes it, filled in, and no policy refuses it', (file) => {
    const { file: loaded, fault } = load(file);
    expect(fault).toBeUndefined();
    expect(composeFaults(loaded as ComposeFile)).toEqual([]);
  });

  it.each([
    'GATEHOUSE_VERSION',
    'GATEHOUSE_SECRET',
    'ENCRYPTION_KEYS',
    'ENCRYPTION_CURRENT_KEY_ID',
    'TOKEN_ISSUER',
    'CORS_ORIGINS',
  ])('nothing starts without %s, and the refusal names it', (name) => {
    expect(load('compose.prod.yaml', { [name]: '' }).fault).toContain(`set ${name}`);
  });

  it('a managed Postgres and Redis take the place of the ones that are brought along', () => {
    const { file, fault } = load('compose.prod.yaml', {
      ...{ COMPOSE_PROFILES: '', POSTGRES_PASSWORD: '', POSTGRES_SUPERUSER_PASSWORD: '', REDIS_PASSWORD: '' },
      DATABASE_URL: 'postgres://g:word@pg.example.net:5432/g',
      RATE_LIMIT_REDIS_URL: 'rediss://:word@redis.example.net:6379/0',
    });
    expect(fault).toBeUndefined();
    expect(Object.keys(file?.services ?? {})).not.toContain('db');
    expect(Object.keys(file?.services ?? {})).not.toContain('redis');
    for (const name of ['app', 'auth', 'token', 'audit', 'nats-identity'])
      expect(file?.services[name]?.environment).toMatchObject({
        DATABASE_URL: 'postgres://g:word@pg.example.net:5432/g',
        RATE_LIMIT_REDIS_URL: 'rediss://:word@redis.example.net:6379/0',
      });
    expect(file?.services.migrate?.environment?.DATABASE_URL).toContain('pg.example.net');
  });

  it('only Postgres and Redis know their passwords besides the URLs that hold them', () => {
    const services = Object.entries(
      load('compose.prod.yaml', { POSTGRES_SUPERUSER_PASSWORD: 'of-the-superuser' }).file?.services ?? {},
    );
    expect(services.length).toBeGreaterThan(8);
    const knows = services.filter(([, { environment }]) =>
      Object.values(environment ?? {}).includes('of-the-superuser'),
    );
    expect(knows.map(([name]) => name)).toEqual(['db']);
    for (const name of ['app', 'auth', 'token', 'audit', 'nats-identity'])
      expect(services.find(([one]) => one === name)?.[1].environment?.POSTGRES_SUPERUSER_PASSWORD, name).toBe(
        '',
      );
  });

  it('two of auth, token and nats-identity stand behind the gateway, which alone is reached from outside', () => {
    const services = load('compose.prod.yaml').file?.services ?? {};
    for (const name of ['auth', 'token', 'nats-identity']) expect(services[name]?.deploy?.replicas).toBe(2);
    const published = Object.entries(services).filter(([, { ports }]) => ports?.length);
    expect(published.map(([name]) => name)).toEqual(['app']);
  });

  describe('are refused when', () => {
    // biome-ignore lint/suspicious/noExplicitAny: they are broken on purpose
    const broken: [sentence: string, breakIt: (services: any) => unknown, fault: string][] = [
      ['a container may be root', ({ auth }) => delete auth.user, 'auth may run as root'],
      ['a file system is writable', ({ auth }) => delete auth.read_only, 'auth can write'],
      ['capabilities are kept', ({ nats }) => delete nats.cap_drop, 'nats keeps capabilities'],
      [
        'a capability is added',
        ({ auth }) => Object.assign(auth, { cap_add: ['NET_RAW'] }),
        'auth is given capabilities',
      ],
      ['privileges may be gained', ({ redis }) => delete redis.security_opt, 'redis may gain privileges'],
      [
        'the network of the machine is shared',
        ({ auth }) => Object.assign(auth, { network_mode: 'host' }),
        'auth shares the machine',
      ],
      [
        'an image is the latest',
        ({ db }) => Object.assign(db, { image: 'postgres:latest' }),
        'db runs postgres:latest',
      ],
      ['an image has no tag', ({ nats }) => Object.assign(nats, { image: 'nats' }), 'nats runs nats'],
      [
        'the engine is handed in',
        ({ auth }) => auth.volumes.push({ type: 'bind', source: '/var/run/docker.sock', target: '/x' }),
        'auth rules the engine',
      ],
      ['a port is open to the world', ({ app }) => delete app.ports[0].host_ip, 'app listens to the world'],
      [
        'memory has no limit',
        ({ auth }) => delete auth.deploy.resources.limits.memory,
        'auth has no limit of memory',
      ],
      [
        'processors have no limit',
        ({ db }) => delete db.deploy.resources.limits.cpus,
        'db has no limit of cpus',
      ],
      [
        'processes have no limit',
        ({ db }) => delete db.deploy.resources.limits.pids,
        'db has no limit of processes',
      ],
      ['a log has no end', ({ redis }) => delete redis.logging, 'redis fills the disk'],
      ['health is not asked for', ({ nats }) => delete nats.healthcheck, 'nats is never asked'],
      [
        'it does not come back',
        ({ token }) => Object.assign(token, { restart: 'on-failure' }),
        'token stays away',
      ],
      [
        'it is killed while it drains',
        ({ token }) => Object.assign(token, { stop_grace_period: '20s' }),
        'token is killed',
      ],
      [
        'hashes do not fit',
        ({ auth }) => Object.assign(auth.environment, { MAX_CONCURRENT_HASHES: '16' }),
        'auth has too little memory',
      ],
      [
        'a setting does not exist',
        ({ auth }) => Object.assign(auth.environment, { JWT_SECRET: 'x' }),
        'JWT_SECRET, which is no setting',
      ],
      [
        'a setting is of another',
        ({ token }) => Object.assign(token.environment, { AUDIT_CHECKPOINT_FILE: '/tmp/x' }),
        'which it does not read',
      ],
      [
        'a required setting is missing',
        ({ app }) => delete app.environment.CORS_ORIGINS,
        'app is not given CORS_ORIGINS',
      ],
      [
        'a peer cannot be found',
        ({ audit }) => delete audit.environment.TOKEN_URL,
        'audit is not given TOKEN_URL',
      ],
      [
        'a file lies where nothing is mounted',
        ({ audit }) => Object.assign(audit, { volumes: audit.volumes.slice(0, 1) }),
        'AUDIT_CHECKPOINT_FILE at a place',
      ],
      [
        'a program does not exist',
        ({ auth }) => Object.assign(auth, { command: ['node', 'services/auth/src/start.ts'] }),
        'which is not there',
      ],
      [
        'a command does not exist',
        ({ migrate }) => Object.assign(migrate, { command: ['gatehouse', 'migrate', 'deploy'] }),
        'a command that there is not',
      ],
      [
        'connections run out',
        ({ token }) => Object.assign(token.deploy, { replicas: 20 }),
        'connections, of 200',
      ],
    ];

    let good: ComposeFile | undefined;

    it.each(broken)('%s', (_sentence, breakIt, fault) => {
      good ??= load('compose.prod.yaml').file;
      const file = structuredClone(good);
      breakIt(file?.services);
      expect(composeFaults(file as ComposeFile).join('\n')).toContain(fault);
    });
  });
});
