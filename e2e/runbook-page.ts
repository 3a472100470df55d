import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';

/** Why a row is not run, as the page says it in bold. */
export const marks = ['not needed', 'not run here', 'not here yet'] as const;

/** One row of the tables that put a guide and Gatehouse side by side. */
export interface GuideRow {
  /** `NIS`, `API`, `ID`, `KAYAN` or `AUTH`. */
  readonly guide: string;
  /** Line of the page, from 1. */
  readonly line: number;
  /** The guide's way. */
  readonly theirs: string;
  /** What Gatehouse's column holds in code: each is one command. */
  readonly commands: readonly string[];
  readonly mark: (typeof marks)[number] | undefined;
  readonly remark: string;
}

/** The rows of docs/runbook-guides.md, which is the only list there is. */
export function guideRows(): GuideRow[] {
  const lines = readFileSync(join(repositoryRoot, 'docs/runbook-guides.md'), 'utf8').split('\n');
  const rows: GuideRow[] = [];
  let guide: string | undefined;
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('## ')) guide = /^## Guide (.+)$/.exec(line)?.[1];
    else if (guide !== undefined && isRow(line)) rows.push(rowOf(line, { guide, line: index + 1 }));
  }
  return rows;
}

const isRow = (line: string): boolean =>
  line.startsWith('| ') && !line.startsWith('| the guide |') && !line.startsWith('|---');

function rowOf(text: string, where: Pick<GuideRow, 'guide' | 'line'>): GuideRow {
  const [theirs = '', ours = '', remark = '', ...more] = text
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.replaceAll('\\|', '|').trim());
  if (more.length > 0) throw new Error(`line ${where.line} has ${more.length + 3} cells: escape the | in it`);
  const commands = [...ours.matchAll(/`([^`]+)`/g)].map(([, command = '']) => command);
  const bold = /^\*\*([^*]+)\*\*/.exec(remark)?.[1];
  const mark = marks.find((one) => one === bold);
  if (bold !== undefined && mark === undefined) throw new Error(`line ${where.line} is marked ${bold}`);
  return { ...where, theirs, commands, mark, remark };
}
