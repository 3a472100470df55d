import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Command } from 'commander';
import { Fault } from '../fault.ts';
import { show } from '../output.ts';

/** `gatehouse migrate create NAME`: for who changes Gatehouse; needs no database. */
export function addMigrateCreate(migrate: Command): void {
  migrate
    .command('create')
    .argument('<name>', 'lower-case words joined by "-"')
    .description(
      'begin a new migration in this checkout: its file with up and down, and its line in the index',
    )
    .addHelpText('after', '\nExample:\n  gatehouse migrate create user-phone-number\n')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { createMigration, MigrationRefused, migrationsFolder } = await import(
        '@gatehouse/schema/create-migration'
      );
      const root = join(migrationsFolder, '../../..');
      // An image and a package carry the sources too, and nobody would ever see what is written there.
      if (!existsSync(join(root, '.git')))
        throw new Fault(
          'this gatehouse does not run from a checkout: run "npm run gatehouse -- migrate create …" in one',
        );
      try {
        const made = await createMigration(migrationsFolder, name);
        const file = relative(process.cwd(), join(migrationsFolder, `${made}.ts`));
        const next = 'write both directions, then bring schema.sql up to date: CONTRIBUTING.md says how';
        show(command.optsWithGlobals(), { name: made, file }, `${file} is begun: ${next}`);
      } catch (error) {
        if (error instanceof MigrationRefused) throw new Fault(error.message, 2);
        throw new Fault(
          `the migration cannot be written (${(error as NodeJS.ErrnoException).code ?? 'failed'})`,
        );
      }
    });
}
