import { stripVTControlCharacters } from 'node:util';
import { type Colour, coloured } from './colour.ts';
import { fitted, widthOf } from './text-width.ts';

/** How results are shown. */
export interface OutputOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Options of the command itself, which every subcommand sees. */
export interface Globals extends OutputOptions {
  readonly url: string;
}

/** Writes one result: as JSON for programs, as a sentence for people. */
export function show(options: OutputOptions, result: unknown, sentence: string): void {
  if (options.json) showJson(result);
  else if (!options.quiet) for (const line of sentence.split('\n')) console.log(clean(line));
}

/** Writes the one document that `--json` promises. */
export function showJson(result: unknown): void {
  console.log(JSON.stringify(result, null, 2));
}

/** Writes rows: as JSON, or as a table whose columns fit their content and the terminal. */
export function showRows(
  options: OutputOptions,
  rows: readonly Record<string, unknown>[],
  columns: readonly string[],
): void {
  if (options.json) {
    showJson(rows);
    return;
  }
  for (const line of table(rows, columns, process.stdout.columns)) console.log(line);
}

/**
 * The lines of a table; `width`: of the terminal, undefined when the output goes into a file or a pipe and nothing is
 * cut. Where not even narrow columns fit, each row is a block with a line a column.
 */
export function table(
  rows: readonly Record<string, unknown>[],
  columns: readonly string[],
  width: number | undefined,
): string[] {
  const cells = [
    columns.map((name) => name.toUpperCase()),
    ...rows.map((row) => columns.map((name) => cell(row[name]))),
  ];
  const wanted = columns.map((_, at) => Math.max(...cells.map((row) => widthOf(row[at] ?? ''))));
  const widths = fit(wanted, width);
  if (widths === undefined) return blocks(rows, columns);
  return cells.map((row, line) =>
    row
      .map((text, at) => painted(fitted(text, widths[at] ?? 0), line === 0 ? undefined : columns[at]))
      .join(GAP)
      .trimEnd(),
  );
}

const GAP = '  ';
/** Narrower than this a column tells nothing. */
const COLUMN_MIN = 8;

/** Takes from the widest column first, as often as needed; undefined when it cannot be made to fit. */
function fit(widths: readonly number[], width: number | undefined): number[] | undefined {
  const fitting = [...widths];
  if (width === undefined) return fitting;
  const room = width - GAP.length * (widths.length - 1);
  let over = fitting.reduce((sum, one) => sum + one, 0) - room;
  while (over > 0) {
    const widest = Math.max(...fitting);
    if (widest <= COLUMN_MIN) return undefined;
    fitting[fitting.indexOf(widest)] = widest - 1;
    over -= 1;
  }
  return fitting;
}

function blocks(rows: readonly Record<string, unknown>[], columns: readonly string[]): string[] {
  const widest = Math.max(...columns.map(widthOf));
  const lines = (row: Record<string, unknown>) =>
    columns.map(
      (name) => `${painted(fitted(name.toUpperCase(), widest))}${GAP}${painted(cell(row[name]), name)}`,
    );
  return rows.flatMap((row, at) => (at === 0 ? lines(row) : ['', ...lines(row)]));
}

/** How states are told apart at a glance; the word itself says it to whoever sees no colour. */
const colourOf = new Map<string, Colour>([
  ...['active', 'current', 'applied', 'healthy', 'in_sync', 'success', 'ok', 'primary'].map(
    (word) => [word, 'green'] as const,
  ),
  ...['pending', 'degraded', 'drifted', 'next', 'staged', 'retiring', 'warning'].map(
    (word) => [word, 'yellow'] as const,
  ),
  ...['locked', 'disabled', 'unhealthy', 'unreachable', 'refused', 'failure', 'failed', 'unknown'].map(
    (word) => [word, 'red'] as const,
  ),
]);
const states: ReadonlySet<string> = new Set(['state', 'status', 'outcome']);

/** A cell in its colour; without a column's name it is a heading. */
function painted(text: string, column?: string): string {
  if (column === undefined) return coloured('bold', text);
  const colour = states.has(column) ? colourOf.get(text.trim()) : undefined;
  return colour === undefined ? text : coloured(colour, text);
}

/** Writes one object: as JSON, or a line a field, nested fields by their path. */
export function showObject(
  options: OutputOptions,
  object: Record<string, unknown>,
  hidden: readonly string[] = [],
): void {
  if (options.json) {
    showJson(object);
    return;
  }
  const shown = Object.entries(object).filter(([name]) => !hidden.includes(name));
  const lines = shown.flatMap(([name, value]) => flattened(name, value));
  const width = Math.max(0, ...lines.map(([name]) => widthOf(name)));
  for (const [name, value] of lines) console.log(`${painted(fitted(name, width))}${GAP}${value}`);
}

function flattened(path: string, value: unknown): [string, string][] {
  if (Array.isArray(value)) {
    if (value.every((one) => typeof one !== 'object' || one === null))
      return [[clean(path), value.length === 0 ? '-' : value.map(cell).join(', ')]];
    return value.flatMap((one, at) => flattened(`${path}[${at}]`, one));
  }
  if (typeof value !== 'object' || value === null) return [[clean(path), cell(value)]];
  const entries = Object.entries(value);
  if (entries.length === 0) return [[clean(path), '-']];
  return entries.flatMap(([name, one]) => flattened(`${path}.${name}`, one));
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return clean(value.join(', '));
  return clean(typeof value === 'object' ? JSON.stringify(value) : String(value));
}

/** Names and agents come from strangers: what they hold must not steer the terminal (attack family 7). */
export function clean(value: string): string {
  return stripVTControlCharacters(value).replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '?');
}
