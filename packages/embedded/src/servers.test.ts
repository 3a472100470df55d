import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import {
  commandLineOf,
  findNatsServer,
  findPgBouncer,
  findRedisServer,
  isAlive,
  type RunningServer,
  startNats,
  startPgBouncer,
  startPostgres,
  startRedis,
  temporaryHome,
} from './index.ts';

interface Kind {
  name: string;
  start: (home: string, port?: number) => Promise<RunningServer>;
}

const pgBouncer = findPgBouncer();
const kinds: Kind[] = [
  {
    name: 'Postgres',
    start: (home, port) => startPostgres({ home, port, password: "it's-a-secret", database: 'gatehouse' }),
  },
  {
    name: 'nats-server',
    start: (home, port) =>
      startNats({
        home,
        port,
        login: { user: 'gatehouse', password: 'it"s-a-secret' },
        binary: findNatsServer().path,
      }),
  },
  {
    name: 'redis-server',
    start: (home, port) => {
      const { path, libraryPath } = findRedisServer();
      return startRedis({ home, port, password: 'it"s-a-secret', binary: path, libraryPath });
    },
  },
  ...(pgBouncer === undefined
    ? []
    : [
        {
          name: 'pgbouncer',
          start: (home: string, port?: number) =>
            startPgBouncer({
              home,
              port,
              binary: pgBouncer.path,
              upstream: 'postgres://127.0.0.1:1',
              logins: [{ name: 'gatehouse_auth', password: 'it"s-a-secret' }],
            }),
        },
      ]),
];

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function newHome(): string {
  const home = temporaryHome('gatehouse-embedded-test-');
  cleanups.push(() => home.remove());
  return home.path;
}

async function started(kind: Kind, home: string, port?: number): Promise<RunningServer> {
  const server = await kind.start(home, port);
  cleanups.push(() => server.stop());
  return server;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

describe.each(kinds)('$name', (kind) => {
  test('answers as soon as start resolves, and is gone as soon as stop resolves', async () => {
    const server = await started(kind, newHome());
    expect(await accepts(server.port)).toBe(true);
    expect(isAlive(server.pid)).toBe(true);
    await server.stop();
    expect(isAlive(server.pid)).toBe(false);
    expect(await accepts(server.port)).toBe(false);
    await server.stop();
  });

  test('starts again on the same home and port after kill -9', async () => {
    const home = newHome();
    const first = await started(kind, home);
    await first.kill();
    expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' });
    const second = await started(kind, home, first.port);
    expect(second.port).toBe(first.port);
    expect(await accepts(second.port)).toBe(true);
  });

  test('stops what an earlier run left running in the same home', async () => {
    const home = newHome();
    const leftover = await started(kind, home);
    const server = await started(kind, home);
    expect(isAlive(leftover.pid)).toBe(false);
    expect(await accepts(server.port)).toBe(true);
  });

  test('says in one line that the port it was told to use is taken', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => new Promise((resolve) => holder.close(resolve)));
    const address = holder.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const refusal = kind.start(newHome(), port);
    await expect(refusal).rejects.toThrow(`cannot listen on 127.0.0.1:${port}: the port is taken`);
  });

  test('runs several at once, each on its own port', async () => {
    const servers = await Promise.all([1, 2, 3].map(() => started(kind, newHome())));
    expect(new Set(servers.map((server) => server.port)).size).toBe(3);
  });

  test('shows no password on its command line or in a file that others may read', async () => {
    const home = newHome();
    const server = await started(kind, home);
    expect(commandLineOf(server.pid)).not.toContain('a-secret');
    const files = [
      'nats.conf',
      'redis.conf',
      'pgbouncer.ini',
      'userlist.txt',
      'postgres.log',
      'nats.log',
      'redis.log',
    ];
    for (const name of files) {
      const path = join(home, name);
      if (existsSync(path)) expect(statSync(path).mode & 0o077).toBe(0);
    }
  });
});

test('the pid of a stranger in a leftover pid file is left alone', async () => {
  const home = newHome();
  const stranger = spawn('sleep', ['60']);
  cleanups.push(() => stranger.kill('SIGKILL'));
  writeFileSync(join(home, 'nats.pid'), `${stranger.pid}\n`);
  await started(kinds[1] as Kind, home);
  expect(stranger.exitCode).toBeNull();
});

test('servers end by themselves when the process that started them is shot', async () => {
  const home = newHome();
  const script = `
    import { startPostgres } from '${import.meta.dirname}/index.ts';
    const server = await startPostgres({ home: ${JSON.stringify(home)}, password: 'x', database: 'gatehouse' });
    console.log(server.pid);
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((resolve) =>
    parent.stdout.once('data', (chunk) => resolve(Number(chunk))),
  );
  expect(isAlive(pid)).toBe(true);
  parent.kill('SIGKILL');
  const deadline = performance.now() + 15_000;
  while (isAlive(pid) && performance.now() < deadline) await delay(50);
  expect(isAlive(pid)).toBe(false);
});

test('Postgres keeps what was committed, checks its pages, and gives the owner no superuser rights', async () => {
  const home = newHome();
  const server = await started(kinds[0] as Kind, home);
  expect(decodeURIComponent(new URL(server.url).password)).toBe("it's-a-secret");
  expect(new URL(server.url).username).toBe('gatehouse');
  const data = existsSync(join(home, 'postgres-data'))
    ? readFileSync(join(home, 'postgres-data'), 'utf8').trim()
    : join(home, 'postgres');
  expect(readFileSync(join(data, 'pg_hba.conf'), 'utf8')).not.toMatch(/^[^#]*\btrust\b/m);
});
