import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { holderOf, takeLock } from './setup-lock.mjs';

const folder = () => mkdtempSync(join(tmpdir(), 'gatehouse-lock-'));

test('the lock of a living process is not taken, and its holder is named', () => {
  const file = join(folder(), 'lock');
  const first = takeLock(file);
  expect(takeLock(file)).toEqual({ pid: process.pid });
  first.release?.();
  expect(takeLock(file).release).toBeTypeOf('function');
});

test('the lock of a process that was shot is taken over', async () => {
  const file = join(folder(), 'lock');
  const script = `import { takeLock } from ${JSON.stringify(join(import.meta.dirname, 'setup-lock.mjs'))};
    takeLock(${JSON.stringify(file)}); console.log('held'); setInterval(() => {}, 1000);`;
  const other = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => other.stdout.once('data', resolve));
  expect(takeLock(file)).toEqual({ pid: other.pid });
  const gone = new Promise((resolve) => other.once('exit', resolve));
  other.kill('SIGKILL');
  await gone;
  expect(takeLock(file).release).toBeTypeOf('function');
});

test('a process that has the id of a dead holder by chance does not hold its lock', () => {
  const file = join(folder(), 'lock');
  writeFileSync(file, `${process.pid} 1\n`);
  expect(holderOf(file).pid).toBeUndefined();
  expect(takeLock(file).release).toBeTypeOf('function');
});

test('of many that find a dead lock exactly one takes it, and nothing is left lying about', async () => {
  const where = folder();
  const file = join(where, 'lock');
  writeFileSync(file, '999999999 1\n');
  const script = `import { takeLock } from ${JSON.stringify(join(import.meta.dirname, 'setup-lock.mjs'))};
    console.log(takeLock(${JSON.stringify(file)}).release ? 'taken' : 'refused'); process.stdin.resume();`;
  const racers = Array.from({ length: 6 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] }),
  );
  const verdicts = await Promise.all(
    racers.map(
      (racer) =>
        new Promise<string>((resolve) => racer.stdout.once('data', (text) => resolve(String(text).trim()))),
    ),
  );
  for (const racer of racers) racer.stdin.end();
  expect(verdicts.filter((verdict) => verdict === 'taken')).toHaveLength(1);
  expect(readdirSync(where)).toEqual(['lock']);
});
