import { existsSync } from 'node:fs';
import { readFile, stat, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isAlive } from '../file-lock.ts';
import { type Check, failed, measured, ok, skipped, warning } from './check.ts';

const GIB = 1024 ** 3;

/** The folder of an installation of `npm start`: its disk, and who may read its secrets. */
export async function examineHome(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<readonly Check[]> {
  const home = resolve(env.GATEHOUSE_HOME || '.data');
  if (!existsSync(home)) return [skipped('disk', 'no installation of npm start has its state here')];
  return [...(await running(home)), await space(home), ...(await privacy(home))];
}

/** Whether `npm start` runs, and every process that it has started still does. */
async function running(home: string): Promise<Check[]> {
  const name = 'start';
  if (!existsSync(join(home, 'secrets.json'))) return [];
  const text = await readFile(join(home, 'stack.json'), 'utf8').catch(() => undefined);
  const log = join(home, 'gatehouse.log');
  if (text === undefined)
    return [warning(name, `nothing runs from ${home}`, { remedy: `npm start; why it ended is in ${log}` })];
  const gone = Object.entries(pidsIn(text)).filter(([, pid]) => !isAlive(pid));
  if (gone.length === 0) return [ok(name, `npm start runs from ${home}`)];
  return [
    failed(name, `no longer there: ${gone.map(([part, pid]) => `${part} (process ${pid})`).join(', ')}`, {
      remedy: `stop npm start with Ctrl-C and start it again; why is in ${log} and the *.log beside it`,
    }),
  ];
}

function pidsIn(text: string): Record<string, number> {
  try {
    const { pids } = JSON.parse(text) as { pids?: Record<string, unknown> };
    const known = Object.entries(pids ?? {}).filter(([, pid]) => typeof pid === 'number' && pid > 1);
    return Object.fromEntries(known) as Record<string, number>;
  } catch {
    return {};
  }
}

/** Postgres stops when the disk is full, and needs room to start again. */
async function space(home: string): Promise<Check> {
  const { bavail, blocks, bsize } = await statfs(home);
  const free = bavail * bsize;
  const used = 1 - bavail / blocks;
  const scarce = free < 1 * GIB ? 2 : free < 5 * GIB && used > 0.9 ? 1 : 0;
  return measured(
    'disk',
    scarce,
    { warn: 1, fail: 2 },
    {
      finding: `${(free / GIB).toFixed(1)} GiB free at ${home} (${Math.round(used * 100)} % used)`,
      remedy:
        'make room before Postgres has to stop: look for large files with "du -xh <folder> | sort -h | tail"',
    },
  );
}

async function privacy(home: string): Promise<Check[]> {
  if (process.platform === 'win32') return [];
  const name = 'disk.secrets';
  const open: string[] = [];
  for (const file of ['secrets.json', 'nats/creds'].map((one) => join(home, one))) {
    const found = await stat(file).catch(() => undefined);
    if (found !== undefined && (found.mode & 0o077) !== 0) open.push(file);
  }
  if (open.length === 0) return [ok(name, 'nobody else on this machine may read them')];
  return [
    warning(name, `others on this machine may read ${open.join(', ')}`, {
      remedy: `chmod go= ${open.join(' ')}`,
    }),
  ];
}
