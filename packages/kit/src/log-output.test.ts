import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const log = JSON.stringify(fileURLToPath(new URL('./log.ts', import.meta.url)));

/** A process that logs so many lines at once, goes on, says so over its channel, and ends when it is told to. */
const logging = (lines: number) => `
  const { createLog } = await import(${log});
  const log = createLog({ level: 'info', pretty: false });
  for (let n = 0; n < ${lines}; n++) log.info({ n }, 'line');
  setImmediate(() => process.send('goes on'));
  process.on('message', () => {
    log.fatal('ends');
    process.exit();
  });`;

const start = (program: string, stdout: 'pipe' | number) =>
  spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', stdout, 'pipe', 'ipc'],
  });

const linesOf = (said: string) =>
  said
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { n?: number; lines?: number; msg: string });

async function end(child: ChildProcess): Promise<number> {
  child.send('end');
  const [code] = (await once(child, 'exit')) as [number];
  return code;
}

describe('a log', () => {
  it('has every line in its order, with the last one before the end', async () => {
    const child = start(logging(2_000), 'pipe');
    const said = text(child.stdout as NodeJS.ReadableStream);
    await once(child, 'message');
    expect(await end(child)).toBe(0);
    const lines = linesOf(await said);
    expect(lines.map(({ n }) => n)).toEqual([...Array.from({ length: 2_000 }, (_, n) => n), undefined]);
    expect(lines.at(-1)?.msg).toBe('ends');
  });

  it('whose reader does not read holds nobody up; what was too much is counted when it reads again', async () => {
    const child = start(logging(30_000), 'pipe');
    // More than a pipe takes and more than is kept: the process says that it goes on before anything was read.
    await once(child, 'message');
    const said = text(child.stdout as NodeJS.ReadableStream);
    const lost = new Promise<void>((resolve) => {
      child.stdout?.on('data', (part: Buffer) => part.includes('log lines lost') && resolve());
    });
    await lost;
    expect(await end(child)).toBe(0);
    const lines = linesOf(await said);
    const kept = lines.filter(({ msg }) => msg === 'line').map(({ n }) => n);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, n) => n));
    expect(kept.length).toBeLessThan(30_000);
    const told = lines.reduce((sum, { lines: one = 0 }) => sum + one, 0);
    expect(told + kept.length).toBe(30_000);
  });

  it.skipIf(!existsSync('/dev/full'))(
    'on a disk without room holds nobody up, not at the end either',
    async () => {
      const child = start(logging(100), openSync('/dev/full', 'w'));
      await once(child, 'message');
      expect(await end(child)).toBe(0);
      expect(await text(child.stderr as NodeJS.ReadableStream)).toBe('');
    },
  );
});
