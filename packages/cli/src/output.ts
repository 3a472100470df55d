import { stripVTControlCharacters } from 'node:util';

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
  if (options.json) console.log(JSON.stringify(result, null, 2));
  else if (!options.quiet) for (const line of sentence.split('\n')) console.log(clean(line));
}

/** Writes rows: as JSON, or as a table whose columns fit their content and the terminal. */
export function showRows(
  options: OutputOptions,
  rows: readonly Record<string, unknown>[],
  columns: readonly string[],
): void {
  if (options.json) {
    console.log(JSON.stringify(rows, null, 2));
    return;
  }
  for (const line of table(rows, columns, process.stdout.columns)) console.log(line);
}

/** The lines of a table; `width`: of the terminal, undefined when the output goes into a file or a pipe and nothing is cut. */
export function table(
  rows: readonly Record<string, unknown>[],
  columns: readonly string[],
  width: number | undefined,
): string[] {
  const cells = [
    columns.map((name) => name.toUpperCase()),
    ...rows.map((row) => columns.map((name) => cell(row[name]))),
  ];
  const widths = fit(
    columns.map((_, at) => Math.max(...cells.map((row) => [...(row[at] ?? '')].length))),
    width,
  );
  return cells.map((row) =>
    row
      .map((text, at) => padded(text, widths[at] ?? 0))
      .join(GAP)
      .trimEnd(),
  );
}

const GAP = '  ';
/** Narrower than this a column tells nothing. */
const COLUMN_MIN = 8;

/** Takes from the widest column first, as often as needed. */
function fit(widths: readonly number[], width: number | undefined): number[] {
  const fitted = [...widths];
  if (width === undefined) return fitted;
  const room = width - GAP.length * (widths.length - 1);
  let over = fitted.reduce((sum, one) => sum + one, 0) - room;
  while (over > 0) {
    const widest = Math.max(...fitted);
    if (widest <= COLUMN_MIN) break;
    fitted[fitted.indexOf(widest)] = widest - 1;
    over -= 1;
  }
  return fitted;
}

function padded(text: string, width: number): string {
  const characters = [...text];
  return characters.length > width
    ? `${characters.slice(0, width - 1).join('')}…`
    : text + ' '.repeat(width - characters.length);
}

/** Writes one object: as JSON, or a line a field, nested fields by their path. */
export function showObject(
  options: OutputOptions,
  object: Record<string, unknown>,
  hidden: readonly string[] = [],
): void {
  if (options.json) {
    console.log(JSON.stringify(object, null, 2));
    return;
  }
  const shown = Object.entries(object).filter(([name]) => !hidden.includes(name));
  const lines = shown.flatMap(([name, value]) => flattened(name, value));
  const width = Math.max(0, ...lines.map(([name]) => name.length));
  for (const [name, value] of lines) console.log(`${name.padEnd(width)}${GAP}${value}`);
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
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return clean(value.join(', '));
  return clean(typeof value === 'object' ? JSON.stringify(value) : String(value));
}

/** Names and agents come from strangers: what they hold must not steer the terminal (attack family 7). */
export function clean(value: string): string {
  return stripVTControlCharacters(value).replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '?');
}
