import type { MigrationStep } from '@gatehouse/schema';
import type { Command } from 'commander';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { type OutputOptions, show, showRows } from '../output.ts';
import { onDatabase, versionNamed } from '../schema-database.ts';
import { addMigrateCreate } from './migrate-create.ts';
import { addMigratePlan } from './migrate-plan.ts';

/** `gatehouse migrate …`: speaks to the database directly. */
export function addMigrate(program: Command): void {
  const migrate = program
    .command('migrate')
    .description('bring the database schema up to date, back, or show where it is (needs DATABASE_URL)');
  addUp(migrate);
  addDown(migrate);
  addStatus(migrate);
  addMigratePlan(migrate);
  addMigrateCreate(migrate);
}

function addUp(migrate: Command): void {
  example(
    migrate
      .command('up')
      .description('apply every pending migration, one instance at a time')
      .option('--to <version>', 'stop after this one'),
  ).action(async ({ to }: { to?: string }, command: Command) => {
    const wanted = to === undefined ? {} : { to: await versionNamed(to) };
    await up(command, wanted);
  });
  example(
    migrate.command('up-by-one').description('apply the next pending migration, and no further'),
  ).action(async (_options: unknown, command: Command) => {
    const { migrations } = await onDatabase(async ({ migrationStatus }, url) => migrationStatus(url));
    const next = migrations.find(({ state }) => state === 'pending');
    if (next === undefined) done(command, 'applied', []);
    else await up(command, { to: next.name });
  });
}

async function up(command: Command, wanted: { to?: string }): Promise<void> {
  const onProgress = progress(command);
  done(
    command,
    'applied',
    await onDatabase(({ migrateUp }, url) => migrateUp(url, { ...wanted, onProgress })),
  );
}

function addDown(migrate: Command): void {
  example(
    migrate
      .command('down')
      .description('undo the newest migration; what is in the tables that it made is lost')
      .option('--steps <n>', 'how many to undo', '1')
      .option('--yes', 'do not ask'),
    ' --steps 1 --yes',
  ).action(async ({ steps, yes }: { steps: string; yes?: boolean }, command: Command) => {
    if (!/^[1-9][0-9]{0,3}$/.test(steps)) throw new Fault('--steps must be a whole number from 1', 2);
    await down(command, { steps: Number(steps), yes });
  });
  example(
    migrate
      .command('down-to')
      .argument('<version>', 'stays applied: its name or number, or "none"')
      .description('undo every migration after this one; what is in the tables that they made is lost')
      .option('--yes', 'do not ask'),
    ' 0007 --yes',
  ).action(async (version: string, { yes }: { yes?: boolean }, command: Command) => {
    await down(command, { to: version === 'none' ? 'none' : await versionNamed(version), yes });
  });
}

interface Downwards {
  readonly steps?: number;
  readonly to?: string;
  readonly yes?: boolean | undefined;
}

/** Asks with the names of what would go, after looking. */
async function down(command: Command, { yes, ...wanted }: Downwards): Promise<void> {
  const { migrations } = await onDatabase(({ migrationStatus }, url) => migrationStatus(url));
  const applied = migrations.filter(({ state }) => state === 'applied').map(({ name }) => name);
  const from =
    wanted.steps === undefined ? applied.indexOf(wanted.to ?? '') + 1 : applied.length - wanted.steps;
  const going = applied.slice(Math.max(0, from)).toReversed();
  if (going.length > 0)
    await confirm(`Undo ${going.join(', ')}, and lose what is in the tables that they made?`, yes);
  const onProgress = progress(command);
  done(
    command,
    'undone',
    await onDatabase(({ migrateDown }, url) => migrateDown(url, { ...wanted, onProgress })),
  );
}

function addStatus(migrate: Command): void {
  example(migrate.command('status').description('list the migrations: applied or pending')).action(
    async (_options: unknown, command: Command) => {
      const { migrations } = await onDatabase(({ migrationStatus }, url) => migrationStatus(url));
      showRows(
        command.optsWithGlobals(),
        migrations.map((one) => ({ ...one })),
        ['name', 'state', 'appliedAt'],
      );
    },
  );
  example(
    migrate
      .command('version')
      .description('the version of the database, and the newest that this release knows'),
  ).action(async (_options: unknown, command: Command) => {
    const { databaseVersion, newest, migrations } = await onDatabase(({ migrationStatus }, url) =>
      migrationStatus(url),
    );
    const count = (state: string) => migrations.filter((one) => one.state === state).length;
    const [pending, unknown] = [count('pending'), count('unknown')];
    const about =
      unknown > 0
        ? ` (newer than this release, which knows up to ${newest})`
        : pending > 0
          ? ` (${pending} pending, up to ${newest})`
          : '';
    const answer = { version: databaseVersion, newest, pending, unknown };
    show({ ...command.optsWithGlobals(), quiet: false }, answer, `${databaseVersion ?? 'none'}${about}`);
  });
}

const example = (command: Command, rest = ''): Command =>
  command.addHelpText(
    'after',
    `\nExample:\n  DATABASE_URL=postgres://… gatehouse migrate ${command.name()}${rest}\n`,
  );

function done(command: Command, what: 'applied' | 'undone', steps: readonly MigrationStep[]): void {
  const nothing =
    what === 'applied' ? 'nothing to do: the database is up to date' : 'nothing to do: none is applied';
  const names = steps.map(({ name }) => name);
  show(
    command.optsWithGlobals(),
    { [what]: names },
    names.length === 0 ? nothing : `${what} ${names.length}: the database is at ${where(what, names)}`,
  );
}

const where = (what: 'applied' | 'undone', names: readonly string[]) =>
  what === 'applied' ? (names.at(-1) ?? '') : `what was before ${names.at(-1) ?? ''}`;

// Steps go to standard error, so that --json stays one document.
function progress(command: Command): (step: MigrationStep) => void {
  const { quiet, json } = command.optsWithGlobals<OutputOptions>();
  return ({ name, direction }) => {
    if (!quiet && !json) console.error(`${direction === 'up' ? 'applying' : 'undoing'} ${name}`);
  };
}
