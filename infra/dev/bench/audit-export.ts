import { readdirSync, readFileSync } from 'node:fs';
import { type Trail, trail, trailRows } from './audit-trail.ts';
import type { Measurement } from './bench.ts';
import { type Figure, rate } from './report.ts';

const SAMPLE_MS = 200;

/** Exports of the whole trail, one after another: how fast, and what the audit process needs for it. */
export const auditExport: Measurement = async ({ say }) => {
  const long = await trail(say);
  say('audit export');
  const pid = auditProcess(long);
  const figures: Figure[] = [];
  // The first warms up: what a process keeps after its first work is not what an export needs.
  await pour(long, 'ndjson', 50_000);
  for (const format of ['ndjson', 'json', 'csv', 'ocsf']) figures.push(await measure(long, format, pid, say));
  return figures;
};

async function measure(
  long: Trail,
  format: string,
  pid: number | undefined,
  say: (line: string) => void,
): Promise<Figure> {
  const idle = residentBytes(pid);
  let peak = idle;
  const watch = setInterval(() => {
    peak = Math.max(peak, residentBytes(pid));
  }, SAMPLE_MS);
  const begun = performance.now();
  const { bytes, lines } = await pour(long, format);
  const seconds = (performance.now() - begun) / 1000;
  clearInterval(watch);
  const above = (peak - idle) / 2 ** 20;
  const value = `${rate(lines / seconds)} records, ${(bytes / 1e6 / seconds).toFixed(1)} MB/s, ${above.toFixed(0)} MiB above idle`;
  say(`  ${format}: ${value}; ${lines} lines in ${seconds.toFixed(0)} s`);
  return {
    what: `audit export of ${trailRows / 1e6} M records as ${format}`,
    value,
    raw: '',
    ratio: undefined,
    bar: '≤ 50 MiB above idle',
    met: above <= 50 && lines >= trailRows,
  };
}

async function pour({ installation, token }: Trail, format: string, most = Number.POSITIVE_INFINITY) {
  const answer = await fetch(`${installation.url}/api/audit/export?format=${format}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  if (!answer.ok || answer.body === null) throw new Error(`the export answered ${answer.status}`);
  let [bytes, lines] = [0, 0];
  for await (const piece of answer.body as AsyncIterable<Uint8Array>) {
    bytes += piece.length;
    for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, at + 1)) lines += 1;
    if (lines >= most) break;
  }
  return { bytes, lines };
}

/** The process of the audit service, by what it was started with. */
function auditProcess({ installation }: Trail): number | undefined {
  const port = new URL(installation.urlOf('audit')).port;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`PORT=${port}`);
      } catch {
        return false;
      }
    });
}

function residentBytes(pid: number | undefined): number {
  if (pid === undefined) return Number.NaN;
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}
