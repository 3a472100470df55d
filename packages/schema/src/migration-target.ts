import { MigrationTargetRefused } from './migration-error.ts';
import { knownMigrations, type MigrationStatus } from './migration-status.ts';

/** How far down. */
export interface DownTarget {
  /** How many to undo; 1 unless given. */
  readonly steps?: number | undefined;
  /** Undo all after this one; `none` undoes everything. Instead of `steps`. */
  readonly to?: string | undefined;
}

export const isApplied = (status: MigrationStatus, name: string): boolean =>
  status.migrations.some((migration) => migration.name === name && migration.state === 'applied');

/** @throws MigrationTargetRefused */
export const assertKnown = (name: string | undefined): void => {
  if (name !== undefined && !knownMigrations.includes(name))
    throw new MigrationTargetRefused(`there is no migration ${name}: see "gatehouse migrate status"`);
};

/** What `migrateUp` would apply, in order. @throws MigrationTargetRefused */
export const upNames = (status: MigrationStatus, to?: string): readonly string[] => {
  assertKnown(to);
  if (to !== undefined && isApplied(status, to)) return [];
  const last = to ?? status.newest;
  return status.migrations
    .filter(({ name, state }) => state === 'pending' && name <= last)
    .map(({ name }) => name);
};

/** The migration to go down to, or undefined when nothing is applied. @throws MigrationTargetRefused */
export const downTarget = (status: MigrationStatus, options: DownTarget): string | undefined => {
  const applied = status.migrations.filter((migration) => migration.state === 'applied');
  if (options.to !== undefined) {
    if (options.to !== 'none' && !isApplied(status, options.to)) {
      throw new MigrationTargetRefused(`cannot go down to ${options.to}: it is not applied`);
    }
    return applied.length === 0 ? undefined : options.to;
  }
  const steps = options.steps ?? 1;
  if (!Number.isSafeInteger(steps) || steps < 1) {
    throw new MigrationTargetRefused(`cannot go down ${steps} steps: give a whole number from 1`);
  }
  if (applied.length === 0) return undefined;
  return applied[applied.length - 1 - steps]?.name ?? 'none';
};

/** What `migrateDown` would undo, the newest first. @throws MigrationTargetRefused */
export const downNames = (status: MigrationStatus, options: DownTarget): readonly string[] => {
  const target = downTarget(status, options);
  if (target === undefined) return [];
  return status.migrations
    .filter(({ name, state }) => state === 'applied' && (target === 'none' || name > target))
    .map(({ name }) => name)
    .toReversed();
};
