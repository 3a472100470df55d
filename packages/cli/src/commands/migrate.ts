import { type MigrationStep, migrateDown, migrateUp, migrationStatus } from '@gatehouse/schema';
import type { Command } from 'commander';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { type OutputOptions, show, showRows } from '../output.ts';

/** `gatehouse migrate up|down|status`: speaks to the database directly. */
export function addMigrate(program: Command): void {
  const migrate = program
    .command('migrate')
    .description('bring the database schema up to date, back, or show where it is (needs DATABASE_URL)');
  migrate
    .command('up')
    .description('apply every pending migration, one instance at a time')
    .option('--to <name>', 'stop after this migration')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://… gatehouse migrate up\n')
    .action(async (options: { to?: string }, command: Command) => {
      const applied = await migrateUp(databaseUrl(), {
        ...(options.to !== undefined && { to: options.to }),
        onProgress: progress(command),
      });
      const said =
        applied.length === 0 ? 'nothing to do: the database is up to date' : `applied ${applied.length}`;
      show(command.optsWithGlobals(), { applied: applied.map(({ name }) => name) }, said);
    });
  migrate
    .command('down')
    .description('undo the newest migration; data in what it made is lost')
    .option('--steps <n>', 'how many to undo', '1')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://… gatehouse migrate down --yes\n')
    .addHelpText('after', '\nExample:\n  gatehouse migrate down --steps 1 --yes\n')
    .action(async (options: { steps: string; yes?: boolean }, command: Command) => {
      if (!/^[1-9][0-9]{0,3}$/.test(options.steps))
        throw new Fault('--steps must be a whole number from 1', 2);
      await confirm(`Undo ${options.steps} migration(s) and lose what they hold?`, options.yes);
      const undone = await migrateDown(databaseUrl(), {
        steps: Number(options.steps),
        onProgress: progress(command),
      });
      show(command.optsWithGlobals(), { undone: undone.map(({ name }) => name) }, `undid ${undone.length}`);
    });
  migrate
    .command('status')
    .description('list the migrations: applied or pending')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://… gatehouse migrate status\n')
    .action(async (_options: unknown, command: Command) => {
      const { migrations } = await migrationStatus(databaseUrl());
      showRows(
        command.optsWithGlobals(),
        migrations.map((one) => ({ ...one })),
        ['name', 'state', 'appliedAt'],
      );
    });
}

function databaseUrl(): string {
  const url = process.env.DATABASE_URL;
  if (!url)
    throw new Fault(
      'DATABASE_URL is missing: set it to the database, e.g. postgres://user:…@host:5432/gatehouse',
      2,
    );
  return url;
}

// Steps go to standard error, so that --json stays one document.
function progress(command: Command): (step: MigrationStep) => void {
  const { quiet, json } = command.optsWithGlobals<OutputOptions>();
  return ({ name, direction }) => {
    if (!quiet && !json) console.error(`${direction === 'up' ? 'applying' : 'undoing'} ${name}`);
  };
}
