import { csvHead, csvLine } from './export-csv.ts';
import { ocsfLine } from './export-ocsf.ts';
import type { Gap, Part, Previous } from './export-parts.ts';
import type { ExportFormat } from './export-query.ts';

/** What stands before the records. */
export interface ExportHeader {
  readonly gatehouse_export: 1;
  readonly origin: string;
  readonly filters: Readonly<Record<string, string>>;
  /** Whether every tenant's trail was meant, or one's. */
  readonly tenant_id: string | null;
  readonly proof: 'full' | 'none';
  readonly log_size: number;
  readonly began_at: string;
}

/** What stands after the last record: its absence says that the export was broken off. */
export interface ExportEnd {
  readonly records: number;
}

/** How an export is written: each part a whole number of lines, so that what was broken off can be gone on with. */
export interface ExportWriter {
  readonly contentType: string;
  /** Before the log of heads and the records; not written when an export goes on. */
  open(header: ExportHeader, checkpoint: string | null): string;
  log(parts: readonly string[]): string;
  /** Between log and records. */
  begin(): string;
  parts(parts: readonly Part[]): string;
  close(end: ExportEnd): string;
}

/** The writer of a format; `resumed`: something has been written before. */
export function writerOf(format: ExportFormat, resumed: boolean): ExportWriter {
  if (format === 'json') return new JsonWriter(resumed);
  if (format === 'ndjson') return ndjson;
  return format === 'csv' ? csv : ocsf;
}

const nothing = () => '';
const records = (parts: readonly Part[]) => parts.flatMap((part) => ('row' in part ? [part.row] : []));

const csv: ExportWriter = {
  contentType: 'text/csv; charset=utf-8; header=present',
  open: () => csvHead,
  log: nothing,
  begin: nothing,
  parts: (parts) => records(parts).map(csvLine).join(''),
  close: nothing,
};

const ocsf: ExportWriter = {
  contentType: 'application/x-ndjson',
  open: nothing,
  log: nothing,
  begin: nothing,
  parts: (parts) =>
    records(parts)
      .map((row) => `${ocsfLine(row)}\n`)
      .join(''),
  close: nothing,
};

const ndjson: ExportWriter = {
  contentType: 'application/x-ndjson',
  open: (header, checkpoint) => `${JSON.stringify(header)}\n${JSON.stringify({ checkpoint })}\n`,
  log: (log) => `${JSON.stringify({ log })}\n`,
  begin: nothing,
  parts: (parts) => parts.map((part) => `${partJson(part)}\n`).join(''),
  close: (end) => `${JSON.stringify({ end })}\n`,
};

/** One document, a line for each record: `{"export":…,"checkpoint":…,"log":[…],"events":[…],"end":…}`. */
class JsonWriter implements ExportWriter {
  readonly contentType: string;
  #first: boolean;
  #logged = false;

  constructor(resumed: boolean) {
    this.#first = !resumed;
    // The rest of a document is none.
    this.contentType = resumed ? 'text/plain; charset=utf-8' : 'application/json';
  }

  open(header: ExportHeader, checkpoint: string | null): string {
    return `{"export":${JSON.stringify(header)},"checkpoint":${JSON.stringify(checkpoint)},"log":[`;
  }

  log(parts: readonly string[]): string {
    const comma = this.#logged ? ',' : '';
    this.#logged = true;
    return `${comma}\n${parts.map((part) => JSON.stringify(part)).join(',')}`;
  }

  begin(): string {
    return '],"events":[';
  }

  parts(parts: readonly Part[]): string {
    const lines = parts.map(partJson).join(',\n');
    const comma = this.#first ? '' : ',';
    this.#first = false;
    return `${comma}\n${lines}`;
  }

  close(end: ExportEnd): string {
    return `\n],"end":${JSON.stringify(end)}}\n`;
  }
}

const text = (value: string | null) => (value === null ? 'null' : JSON.stringify(value));
const hex = (value: Buffer | null) => (value === null ? 'null' : `"${value.toString('hex')}"`);
const before = (previous: Previous | undefined) =>
  previous === undefined ? '' : `,"previous":{"sequence":${previous.sequence},"hash":${hex(previous.hash)}}`;

function partJson(part: Part): string {
  return 'gap' in part ? gapJson(part.gap, part.previous) : recordJson(part);
}

// The JSON of the database goes through as text: taking it apart and together again would cost most of the time.
function recordJson({ row, previous }: Extract<Part, { row: unknown }>): string {
  return (
    `{"chain":${text(row.chain)},"sequence":${row.sequence},"id":"${row.id}","type":${text(row.type)},` +
    `"severity":${text(row.severity)},"outcome":${text(row.outcome)},"occurred_at":"${row.occurred_at.toISOString()}",` +
    `"recorded_at":"${row.recorded_at.toISOString()}","source":${text(row.source)},"tenant_id":${text(row.tenant_id)},` +
    `"user_id":${text(row.user_id)},"actor":${text(row.actor)},"subject":${text(row.subject)},"trace_id":${text(row.trace_id)},` +
    `"data":${row.data},"personal":${row.personal ?? 'null'},"personal_salt":${hex(row.personal_salt)},` +
    `"personal_digest":${hex(row.personal_digest)},"hash":${hex(row.hash)}${before(previous)}}`
  );
}

function gapJson({ chain, first, last, contents }: Gap, previous: Previous | undefined): string {
  const packed = Buffer.concat(contents).toString('base64');
  return `{"chain":${text(chain)},"sequence":${first},"until":${last},"omitted":"${packed}"${before(previous)}}`;
}
