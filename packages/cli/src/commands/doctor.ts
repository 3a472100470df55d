import type { Command } from 'commander';
import { type Colour, coloured } from '../colour.ts';
import type { Check, CheckStatus } from '../doctor/check.ts';
import { clean, type Globals, showJson } from '../output.ts';
import { fitted, widthOf, wrapped } from '../text-width.ts';

/** `gatehouse doctor`: changes nothing, and needs neither a login nor a platform that runs. */
export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description(
      'look at the whole installation and say what is wrong and what to do; exit code 1 when something has failed',
    )
    .addHelpText(
      'after',
      `
It looks at what it can reach: the settings of the environment (and ./config.yaml), database, NATS, Redis, the public
address, certificates, the disk. It changes nothing, shows no secret, and works while nothing runs. --quiet shows only
what is not well.

Examples:
  gatehouse doctor
  gatehouse --json doctor
  gatehouse --url https://id.example.com doctor
`,
    )
    .action(async (_options: unknown, command: Command) => {
      const globals = command.optsWithGlobals<Globals>();
      const { examine } = await import('../doctor/examine.ts');
      const checks = await examine(globals.url);
      const summary = summaryOf(checks);
      const healthy = summary.failed === 0;
      if (globals.json) showJson({ healthy, url: globals.url, summary, checks });
      else showChecks(checks, { quiet: globals.quiet === true, url: globals.url });
      if (!healthy) process.exitCode = 1;
    });
}

const statuses = ['failed', 'warning', 'ok', 'skipped'] as const satisfies readonly CheckStatus[];
const colours: Readonly<Record<CheckStatus, Colour>> = {
  ok: 'green',
  warning: 'yellow',
  failed: 'red',
  skipped: 'dim',
};

function summaryOf(checks: readonly Check[]): Record<CheckStatus, number> {
  const count = (status: CheckStatus) => checks.filter((check) => check.status === status).length;
  return { failed: count('failed'), warning: count('warning'), ok: count('ok'), skipped: count('skipped') };
}

function showChecks(checks: readonly Check[], { quiet, url }: { quiet: boolean; url: string }): void {
  const shown = quiet ? checks.filter(({ status }) => status === 'failed' || status === 'warning') : checks;
  const nameWidth = Math.max(0, ...shown.map(({ name }) => widthOf(name)));
  const indent = STATUS_WIDTH + GAP.length + nameWidth + GAP.length;
  const { columns } = process.stdout;
  const room = columns === undefined ? undefined : Math.max(ROOM_MIN, columns - indent - MARK_WIDTH);
  for (const { name, status, finding, remedy, details } of shown) {
    const head = coloured(colours[status], fitted(status, STATUS_WIDTH));
    const [first = '', ...rest] = wrapped(clean(finding), room);
    console.log(`${head}${GAP}${fitted(name, nameWidth)}${GAP}${first}`);
    const below = (mark: string, lines: readonly string[]) =>
      lines.forEach((line, at) => {
        console.log(`${' '.repeat(indent)}${at === 0 ? mark : ' '.repeat(widthOf(mark))}${line}`);
      });
    below('', rest);
    for (const detail of details) below('· ', wrapped(clean(detail), room));
    if (remedy !== null) below('→ ', wrapped(clean(remedy), room));
  }
  if (quiet) return;
  const summary = summaryOf(checks);
  const told = statuses
    .filter((status) => summary[status] > 0)
    .map((status) => `${summary[status]} ${status}`);
  console.log(`\n${told.join(', ')}; ${url}`);
}

const STATUS_WIDTH = 'warning'.length;
const GAP = '  ';
const MARK_WIDTH = 2;
/** On a narrower terminal lines break where the terminal breaks them. */
const ROOM_MIN = 30;
