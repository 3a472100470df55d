import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { type Content, type LogPart, parseLogPart } from '@gatehouse/audit-chain';
import { Fault } from '../fault.ts';

/** What an export says of itself before anything else. */
export interface ExportHeader {
  readonly origin: string;
  readonly filters: Readonly<Record<string, string>>;
  readonly tenant_id: string | null;
  readonly proof: string;
  readonly log_size: number;
  readonly began_at: string;
}

/** The head before the first part of a chain. */
export interface Previous {
  readonly sequence: number;
  readonly hash: string;
}

/** A record as JSON exports carry it. */
export interface ExportedRecord extends Omit<Content, 'personal'> {
  readonly chain: string;
  readonly sequence: number;
  readonly recorded_at: string;
  readonly personal: Readonly<Record<string, unknown>> | null;
  readonly personal_salt: string | null;
  readonly personal_digest: string | null;
  readonly hash: string;
  readonly previous?: Previous;
}

/** Records left out, from `sequence` to `until`. */
export interface ExportedGap {
  readonly chain: string;
  readonly sequence: number;
  readonly until: number;
  readonly omitted: string;
  readonly previous?: Previous;
}

/** One line of an export. */
export type ExportItem =
  | { readonly header: ExportHeader }
  | { readonly checkpoint: string | null }
  | { readonly log: readonly LogPart[] }
  | { readonly record: ExportedRecord }
  | { readonly gap: ExportedGap }
  | { readonly end: true };

/** Reads an export of the form json or ndjson, line by line. @throws Fault for what is none */
export async function* readExport(source: Readable): AsyncGenerator<ExportItem> {
  let number = 0;
  let document = false;
  try {
    for await (const line of linesOf(source)) {
      number += 1;
      if (number === 1) document = line.startsWith('{"export":');
      if (line !== '') yield* itemsOf(document ? fromDocument(line) : [line]);
    }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError || (error as Error).name === 'NoteError')
      throw new Fault(`line ${number} is not of an export of the form ndjson or json`);
    throw error;
  }
}

/** The lines of a text, by line feeds alone: node:readline would part a record at a U+2028 that its data may hold. */
async function* linesOf(source: Readable): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  for await (const chunk of source) {
    const piece = Buffer.from(chunk as Uint8Array | string);
    let from = 0;
    for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, from)) {
      rest.push(piece.subarray(from, at));
      yield Buffer.concat(rest).toString();
      rest = [];
      from = at + 1;
    }
    rest.push(piece.subarray(from));
  }
  const last = Buffer.concat(rest).toString();
  if (last !== '') yield last;
}

/** A file as {@link readExport} takes it. */
export function openExportFile(path: string): Readable {
  return createReadStream(path, { highWaterMark: 256 * 1024 });
}

/** The lines of an ndjson export that a line of a json one stands for. */
function fromDocument(line: string): string[] {
  if (line.startsWith('{"export":')) {
    // The head and, when the log is empty, the beginning of the events: open brackets are closed here.
    const { export: header, checkpoint } = JSON.parse(
      line.endsWith('"events":[') ? `${line}]}` : `${line}]}`,
    ) as Record<string, unknown>;
    return [JSON.stringify(header), JSON.stringify({ checkpoint })];
  }
  if (line.startsWith('],"end":')) return [`{${line.slice(2, -1)}}`];
  if (line.startsWith('"')) return [`{"log":[${line.replace(/(?:,|\],"events":\[)$/, '')}]}`];
  return line === '' ? [] : [line.replace(/,$/, '')];
}

function itemsOf(lines: readonly string[]): ExportItem[] {
  return lines.map((line) => {
    const value = JSON.parse(line) as Record<string, unknown>;
    if ('omitted' in value) return { gap: value as unknown as ExportedGap };
    if ('hash' in value) return { record: value as unknown as ExportedRecord };
    if ('gatehouse_export' in value) return { header: headerOf(value) };
    if ('checkpoint' in value) return { checkpoint: value.checkpoint as string | null };
    if ('log' in value) return { log: (value.log as string[]).map(parseLogPart) };
    if ('end' in value) return { end: true };
    throw new SyntaxError('not a line of an export');
  });
}

function headerOf(value: Record<string, unknown>): ExportHeader {
  if (value.gatehouse_export !== 1)
    throw new Fault('the export is of another release: verify it with the command of that release');
  return value as unknown as ExportHeader;
}
