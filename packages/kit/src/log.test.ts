import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createLog, readByPerson, toggleDebug, tracedLog } from './log.ts';

function memoryLog(level = 'info') {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  const root = createLog({ level, pretty: false, destination });
  return { root, log: root.child({ service: 'token' }), lines };
}

const wordsOf = (lines: readonly string[]) => lines.map((line) => JSON.parse(line).msg);

describe('a log', () => {
  it('writes one JSON object a line, with the level in capitals and the time in UTC', () => {
    const { log, lines } = memoryLog();
    log.warn({ event: 'auth.lockout', client_ip: '192.0.2.1' }, 'security event');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/\}\n$/);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'WARN',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      service: 'token',
      event: 'auth.lockout',
      client_ip: '192.0.2.1',
      msg: 'security event',
    });
  });

  it('names the trace in every line of a request', () => {
    const { log, lines } = memoryLog();
    tracedLog(log, { traceId: 'abc' }).info('one');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ trace_id: 'abc', service: 'token' });
  });

  it('hides what a field’s name says is secret, up to two levels deep', () => {
    const { log, lines } = memoryLog();
    const secrets = { password: 'hunter-2', refresh_token: 'hunter-2', seed: 'hunter-2', jwt: 'hunter-2' };
    log.info(
      { ...secrets, body: secrets, request: { headers: { authorization: 'hunter-2', cookie: 'hunter-2' } } },
      'told',
    );
    expect(lines[0]).not.toContain('hunter-2');
    expect(lines[0]?.match(/\[hidden\]/g)).toHaveLength(10);
  });

  it('of an error tells no login of an address, in its message, its stack or its cause', () => {
    const { log, lines } = memoryLog();
    const address = 'postgres://gatehouse:hunter-2@db.example/x';
    log.error({ err: new Error(`cannot reach ${address}`, { cause: new Error(address) }) }, 'failed');
    expect(lines[0]).not.toContain('hunter-2');
    expect(lines[0]).toContain('postgres://db.example/x');
  });

  it('tells everything after the signal, every part of it, and after the next as before', () => {
    const { root, log, lines } = memoryLog('warn');
    const words = (word: string) => {
      log.debug(word);
      root.debug(word);
    };
    words('before');
    expect(toggleDebug([root, log], 'warn')).toBe('debug');
    words('meanwhile');
    expect(toggleDebug([root, log], 'warn')).toBe('warn');
    words('after');
    expect(wordsOf(lines)).toEqual(['meanwhile', 'meanwhile']);
  });
});

// util-linux; a terminal cannot be had without it.
const script = '/usr/bin/script';

describe.skipIf(!existsSync(script))('on a terminal', () => {
  const program = `
    const { createLog, readByPerson } = await import(${JSON.stringify(fileURLToPath(new URL('./log.ts', import.meta.url)))});
    const log = createLog({ level: 'info', pretty: readByPerson(process.env.KIND, process.stdout) });
    log.warn({ event: 'auth.lockout' }, 'security event');
    log.flush(() => process.exit());`;
  const onTerminal = (kind: string) =>
    new Promise<string>((resolve) => {
      const command = `${process.execPath} --input-type=module -e "$PROGRAM"`;
      const child = spawn(script, ['-qec', command, '/dev/null'], {
        env: { PATH: process.env.PATH, PROGRAM: program, KIND: kind, TERM: 'xterm' },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let out = '';
      child.stdout.on('data', (chunk) => {
        out += chunk;
      });
      child.once('close', () => resolve(out));
    });

  it('a person gets lines to read, in colour', async () => {
    const out = await onTerminal('development');
    expect(out).toMatch(/\[\d\d:\d\d:\d\d\.\d{3}\].*WARN.*security event/);
    expect(out).toContain('\u001b[');
    expect(out).not.toContain('{"level"');
  });

  it('production gets JSON all the same', async () => {
    expect(await onTerminal('production')).toMatch(/^\{"level":"WARN",.*"msg":"security event"\}\r?\n/);
  });
});

it('where nobody reads along the lines are JSON', () => {
  expect(readByPerson('development', {})).toBe(false);
  expect(readByPerson('development', { isTTY: true })).toBe(true);
});
