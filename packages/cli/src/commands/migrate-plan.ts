import type { MigrationPlan, PlanBasis } from '@gatehouse/schema';
import type { Command } from 'commander';
import { Fault } from '../fault.ts';
import { describePlan, planAsJson, warningsOf } from '../migration-plan.ts';
import { type OutputOptions, show } from '../output.ts';
import { onDatabase, versionNamed } from '../schema-database.ts';

interface Wanted {
  readonly to?: string;
  readonly down?: boolean;
  readonly steps?: string;
  readonly static?: boolean;
  readonly rehearse?: boolean;
  readonly lockTimeout: string;
  readonly full?: boolean;
  readonly strict?: boolean;
}

/** `gatehouse migrate plan`: what `migrate up` or `migrate down` would do to whoever works on the database meanwhile. */
export function addMigratePlan(migrate: Command): void {
  migrate
    .command('plan')
    .description('show what migrating would do: each statement, its locks, what it reads and writes anew')
    .option('--to <version>', 'stop after this one; with --down: it stays applied, or "none"')
    .option('--down', 'show the way back instead')
    .option('--steps <n>', 'with --down: how many to undo, 1 unless given')
    .option('--static', 'run nothing: read the locks off the text, by the manual of PostgreSQL')
    .option(
      '--rehearse',
      'run it in the real database and roll it back: its locks stop others for that long; for a copy, or a quiet hour',
    )
    .option('--lock-timeout <seconds>', 'with --rehearse: how long to wait for a lock', '2')
    .option('--full', 'show long statements whole')
    .option('--strict', 'end with 1 when there is a warning')
    .addHelpText(
      'after',
      `
Without --static and --rehearse the migrations run in a new database beside the real one, which has its schema, some
made-up rows, and is dropped again. It is made on the same server; SCRATCH_DATABASE_URL names another.

Examples:
  DATABASE_URL=postgres://… gatehouse migrate plan
  DATABASE_URL=postgres://… gatehouse migrate plan --to 0012 --json
  DATABASE_URL=postgres://… gatehouse migrate plan --down --steps 2
  DATABASE_URL=postgres://… gatehouse migrate plan --rehearse --lock-timeout 5
`,
    )
    .action(async (wanted: Wanted, command: Command) => {
      const plan = await planned(wanted);
      const options = command.optsWithGlobals<OutputOptions>();
      show(options, planAsJson(plan), describePlan(plan, wanted.full ?? false));
      const { length } = warningsOf(plan);
      if (wanted.strict && length > 0) throw new Fault(`${length} ${length === 1 ? 'warning' : 'warnings'}`);
    });
}

async function planned(wanted: Wanted): Promise<MigrationPlan> {
  refuseContradictions(wanted);
  const { down = false, steps, to } = wanted;
  const basis: PlanBasis = wanted.static ? 'text' : wanted.rehearse ? 'rehearsal' : 'scratch';
  const target = to === undefined || (down && to === 'none') ? to : await versionNamed(to);
  return onDatabase(({ planMigrations }, url) =>
    planMigrations(url, {
      direction: down ? 'down' : 'up',
      basis,
      to: target,
      steps: steps === undefined ? undefined : Number(steps),
      scratchUrl: process.env.SCRATCH_DATABASE_URL?.trim() || undefined,
      lockTimeoutMs: Number(wanted.lockTimeout) * 1000,
    }),
  );
}

function refuseContradictions({ down, to, steps, lockTimeout, ...wanted }: Wanted): void {
  if (wanted.static && wanted.rehearse)
    throw new Fault('--static runs nothing, --rehearse does: choose one', 2);
  if (steps !== undefined && (!down || to !== undefined))
    throw new Fault('--steps goes with --down, and without --to', 2);
  if (steps !== undefined && !/^[1-9][0-9]{0,3}$/.test(steps))
    throw new Fault('--steps must be a whole number from 1', 2);
  if (!/^(?:[1-9][0-9]{0,3}|0\.[0-9]{0,2}[1-9])$/.test(lockTimeout))
    throw new Fault('--lock-timeout must be a number of seconds from 0.001 to 9999', 2);
}
