import type { FileHandle } from 'node:fs/promises';
import { Fault } from '../fault.ts';
import { warn } from '../report-error.ts';
import {
  type Cut,
  countLines,
  cutOf,
  finish,
  keepUnfinished,
  openPartial,
  readUnfinished,
} from './export-file.ts';
import { openExport } from './open-export.ts';
import { progressOf } from './progress.ts';

type Query = Readonly<Record<string, string>>;

/** Where and how to export. */
export interface ExportPlan {
  readonly url: string;
  readonly query: Query;
  readonly output: string;
  readonly quiet: boolean;
}

/** How often a connection may break before a single record has come. */
const IDLE_TRIES = 3;

/** Exports into a file; goes on by itself when the connection breaks. Answers with the lines and bytes it has. */
export async function exportToFile(
  plan: ExportPlan,
  resumed: boolean,
): Promise<{ lines: number; bytes: number }> {
  let query = plan.query;
  let cursor: string | undefined;
  let cut: Cut = { bytes: 0, after: undefined, lines: 0 };
  if (resumed) {
    const before = await readUnfinished(plan.output);
    refuseOther(before.query, query, plan.output);
    ({ query, cursor } = before);
    cut = await cutOf(plan.output, formatOf(query));
  }
  for (let idle = 0; ; ) {
    const said = await pour({ ...plan, query }, cursor, cut);
    if (said.outcome === 'complete') {
      await finish(plan.output);
      return { lines: said.lines, bytes: said.bytes };
    }
    if (said.cursor === undefined)
      throw new Fault('the export was broken off, and cannot be gone on with: begin again');
    const next = await cutOf(plan.output, formatOf(query));
    idle = next.bytes > cut.bytes ? 0 : idle + 1;
    if (idle >= IDLE_TRIES)
      throw new Fault(`the export was broken off (${said.cause}): go on with it by --resume`);
    ({ cursor } = said);
    cut = next;
    warn(`the connection broke (${said.cause}); going on after ${cut.lines} lines`);
  }
}

const formatOf = (query: Query) => query.format ?? 'ndjson';

function refuseOther(before: Query, now: Query, output: string): void {
  const differs = Object.entries(now).find(([name, value]) => name !== 'reason' && before[name] !== value);
  if (differs !== undefined)
    throw new Fault(
      `the export to ${output} that was broken off asked for something else (${differs[0].replaceAll('_', ' ')}): repeat its options, or only say --resume and --output`,
      2,
    );
}

type Poured =
  | { readonly outcome: 'complete'; readonly lines: number; readonly bytes: number }
  | { readonly outcome: 'broken'; readonly cursor: string | undefined; readonly cause: string };

async function pour(plan: ExportPlan, cursor: string | undefined, cut: Cut): Promise<Poured> {
  const { url, query, output, quiet } = plan;
  const open = await openExport(url, { ...query, cursor, after: cursor && cut.after });
  // Without a place to go on from, all of it comes again.
  const from = cut.after === undefined ? { bytes: 0, lines: 0 } : cut;
  if (open.cursor !== undefined) await keepUnfinished(output, { query, cursor: open.cursor });
  const file = await openPartial(output, from.bytes);
  const progress = progressOf(quiet, query.types === undefined ? open.total : undefined, from.lines);
  let { lines, bytes } = from;
  let tail = Buffer.alloc(0);
  try {
    for await (const piece of open.body) {
      await write(file, piece, bytes);
      const more = countLines(piece);
      bytes += piece.length;
      lines += more;
      progress.add(more);
      tail = Buffer.concat([tail, piece]).subarray(-TAIL_BYTES);
    }
    await file.sync();
    // A proxy may end an answer in good order that broke off behind it.
    if (!isWhole(tail.toString(), formatOf(query)))
      return { outcome: 'broken', cursor: open.cursor, cause: 'the end is missing' };
    return { outcome: 'complete', lines, bytes };
  } catch (error) {
    if (isFileError(error))
      throw new Fault(`${output} cannot be written (${(error as { code: string }).code})`);
    const cause = ((error as Error).cause as { code?: string } | undefined)?.code ?? (error as Error).name;
    return { outcome: 'broken', cursor: open.cursor, cause };
  } finally {
    progress.end();
    await file.close();
  }
}

const TAIL_BYTES = 200;

function isWhole(tail: string, format: string): boolean {
  return format === 'csv' || format === 'ocsf' || /\n(?:\{|\],)"end":\{.*\}\n$/.test(`\n${tail}`);
}

async function write(file: FileHandle, piece: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < piece.length; ) {
    const { bytesWritten } = await file.write(piece, done, piece.length - done, at + done);
    done += bytesWritten;
  }
}

const isFileError = (error: unknown) =>
  ['ENOSPC', 'EDQUOT', 'EIO', 'EFBIG', 'EROFS'].includes((error as { code?: string }).code ?? '');
