/** One line of a table's cell: what would end the cell or the line is escaped. */
export function cell(text: string): string {
  return text
    .replaceAll('|', '\\|')
    .replace(/\s*\n\s*/g, ' ')
    .trim();
}

/** A Markdown table. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Code in a sentence. */
export const code = (text: string): string => `\`${text}\``;

/** Several pieces of code, separated by commas. */
export const codes = (texts: readonly string[]): string => texts.map(code).join(', ');

/** The rows of the first table under a heading of a Markdown text, without its head; undefined when it is not there. */
export function tableUnder(markdown: string, heading: string): string[][] | undefined {
  const lines = markdown.split('\n');
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading);
  if (start < 0) return undefined;
  const rows: string[][] = [];
  for (const line of lines.slice(start + 1)) {
    if (/^#+ /.test(line)) break;
    if (line.startsWith('|')) rows.push(cellsOf(line));
    else if (rows.length > 0) break;
  }
  return rows.slice(2);
}

function cellsOf(line: string): string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((text) => text.replaceAll('\\|', '|').trim());
}

/** The first line of every generated page, so that nobody edits it by hand. */
export const generatedNotice =
  '<!-- Made by `node infra/checks/src/generate.ts` from the code. Do not edit: the house test compares it. -->';

/** A generated page: title, introduction, then its parts. */
export function page(title: string, introduction: string, parts: readonly string[]): string {
  return `${[generatedNotice, `# ${title}`, introduction.trim(), ...parts].join('\n\n')}\n`;
}
