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
  else if (!options.quiet) console.log(clean(sentence));
}

/** Writes rows: as JSON, or as a table whose columns fit their content. */
export function showRows(
  options: OutputOptions,
  rows: readonly Record<string, unknown>[],
  columns: readonly string[],
): void {
  if (options.json) {
    console.log(JSON.stringify(rows, null, 2));
    return;
  }
  const cells = [
    columns.map((name) => name.toUpperCase()),
    ...rows.map((row) => columns.map((name) => cell(row[name]))),
  ];
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)));
  for (const row of cells)
    console.log(
      row
        .map((text, at) => text.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '-';
  return clean(typeof value === 'object' ? JSON.stringify(value) : String(value));
}

// Names and agents come from strangers: what they hold must not steer the terminal (attack family 7).
function clean(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out.
  return stripVTControlCharacters(value).replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '?');
}
