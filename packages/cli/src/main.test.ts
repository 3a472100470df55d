import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
import { afterAll, describe, expect, it } from 'vitest';

const home = mkdtempSync(join(tmpdir(), 'gatehouse-main-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const main = join(import.meta.dirname, 'main.ts');
const env = (more: Record<string, string> = {}) => ({
  PATH: process.env.PATH,
  XDG_CONFIG_HOME: home,
  NODE_COMPILE_CACHE: join(repositoryRoot, '.local/compile-cache'),
  ...more,
});

function gatehouse(args: readonly string[], more: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    env: env(more),
    input: '',
  });
  return { code: status, out: stdout, err: stderr };
}

describe('how it ends', () => {
  it('help and version are done: exit code 0, on standard output', () => {
    for (const args of [['--help'], ['keys', '--help'], ['--version']]) {
      const { code, out, err } = gatehouse(args);
      expect({ code, err }, args.join(' ')).toEqual({ code: 0, err: '' });
      expect(out).not.toBe('');
    }
  });

  it('wrong usage is exit code 2, says what was meant, and leaves standard output empty', () => {
    const unknown = gatehouse(['kyes', 'list']);
    expect(unknown).toMatchObject({ code: 2, out: '' });
    expect(unknown.err).toContain('Did you mean keys?');
    expect(gatehouse(['keys', 'lst']).err).toContain('Did you mean list?');
    expect(gatehouse(['keys', 'list', '--jso']).err).toContain('Did you mean --json?');
    for (const args of [['keys'], ['keys', 'rotate'], ['--url', 'nonsense', 'keys', 'list']])
      expect(gatehouse(args), args.join(' ')).toMatchObject({ code: 2, out: '' });
  });

  it('with --json an error is one line of JSON on standard error, and standard output stays empty', () => {
    for (const [args, exitCode] of [
      [['--json', 'keys', 'lst'], 2],
      [['--json', 'keys', 'list'], 1],
      [['keys', 'list', '--json', '--profile', 'none'], 2],
      [['--json', 'migrate', 'status'], 2],
    ] as const) {
      const { code, out, err } = gatehouse(args);
      expect({ code, out }).toEqual({ code: exitCode, out: '' });
      expect(err.trim().split('\n')).toHaveLength(1);
      expect(JSON.parse(err)).toMatchObject({ title: expect.any(String), exit_code: exitCode });
    }
  });

  it('a reader that goes away ends it without a word, as any program in a pipe', () => {
    const piped = spawnSync(
      'bash',
      ['--norc', '-c', `"$0" "$1" completion bash | true; echo "\${PIPESTATUS[0]}"`, process.execPath, main],
      { encoding: 'utf8', env: env(), stdio: ['ignore', 'pipe', 'pipe'] },
    );
    expect({ out: piped.stdout.trim(), err: piped.stderr }).toEqual({ out: '141', err: '' });
  });

  it('Ctrl-C ends it as any program: the shell shows 130', async () => {
    const server = createServer(() => child.kill('SIGINT'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const child = spawn(process.execPath, [main, '--url', url, 'keys', 'list'], {
      env: env({ GATEHOUSE_TOKEN: 'x' }),
    });
    const ended = await new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
    expect(ended).toBe('SIGINT');
    server.closeAllConnections();
    server.close();
  });
});

it('starts light: no driver, no service and no validator is loaded before a command needs it', () => {
  const hook = join(home, 'hook.mjs');
  writeFileSync(
    hook,
    `import { registerHooks } from 'node:module';
    registerHooks({ load: (url, context, next) => { console.error(url); return next(url, context); } });`,
  );
  const { stderr } = spawnSync(process.execPath, ['--import', hook, main, '--version'], {
    encoding: 'utf8',
    env: env(),
  });
  const loaded = stderr.split('\n');
  expect(loaded.filter((url) => url.includes('/packages/cli/')).length).toBeGreaterThan(10);
  const heavy =
    /node_modules\/(?:pg|kysely|typebox|fastify|redis|@nats-io|@noble)\/|\/services\/|packages\/kit\//;
  expect(loaded.filter((url) => heavy.test(url))).toEqual([]);
});

describe('what it shows', () => {
  it('FORCE_COLOR has it in a pipe too, --no-color takes it away again, and JSON never has any', () => {
    gatehouse(['profile', 'add', 'here', 'http://localhost:8080']);
    const escapes = (more: Record<string, string>, ...args: string[]) =>
      gatehouse([...args, 'profile', 'list'], more).out.includes('\u001b[');
    expect(escapes({ FORCE_COLOR: '1' })).toBe(true);
    expect(escapes({ FORCE_COLOR: '1' }, '--no-color')).toBe(false);
    expect(JSON.parse(gatehouse(['--json', 'profile', 'list'], { FORCE_COLOR: '1' }).out)).toHaveLength(1);
  });

  it('--quiet leaves sentences out, and shows what was asked for', () => {
    expect(gatehouse(['--quiet', 'profile', 'use', 'here'])).toEqual({ code: 0, out: '', err: '' });
    expect(gatehouse(['--quiet', 'profile', 'list']).out).toBe('here\n');
  });
});
