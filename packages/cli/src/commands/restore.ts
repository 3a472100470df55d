import { mkdir, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import type { Backup } from '@gatehouse/backup';
import type { Command } from 'commander';
import { identitiesOf, several } from '../backup/key-files.ts';
import { progressLine } from '../backup/progress-line.ts';
import { confirm } from '../confirm.ts';
import { databaseUrl } from '../database-url.ts';
import { Fault } from '../fault.ts';
import { type OutputOptions, show } from '../output.ts';
import { makePrivateFolder, refuseExisting, writeSecretFile } from '../secret-file.ts';

interface RestoreOptions extends OutputOptions {
  readonly identity?: readonly string[];
  readonly settingsTo?: string;
  readonly replace?: boolean;
  readonly yes?: boolean;
}

/** `gatehouse restore FILE`: speaks to the database directly; no service may run. */
export function addRestore(program: Command): void {
  program
    .command('restore')
    .argument('<file>', 'the backup')
    .description(
      'bring an empty database to exactly what a backup holds, or change nothing (needs DATABASE_URL of the owner)',
    )
    .option('--identity <file>', 'file with the private key; may be given several times', several)
    .option('--settings-to <folder>', 'new folder for the settings and secrets of the backup')
    .option('--replace', 'first remove the Gatehouse that is in the database')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      `
Examples:
  gatehouse restore gatehouse.backup --identity backup-key.txt --settings-to restored
  gatehouse restore gatehouse.backup --identity backup-key.txt --replace --yes
`,
    )
    .action(async (path: string, _options: unknown, command: Command) =>
      restore(path, command.optsWithGlobals<RestoreOptions>()),
    );
}

async function restore(path: string, options: RestoreOptions): Promise<void> {
  const url = databaseUrl();
  if (options.settingsTo !== undefined) await refuseExisting(options.settingsTo);
  const { readBackup, restoreBackup } = await import('@gatehouse/backup');
  const { newestMigration } = await import('@gatehouse/schema');
  const source = { path, identities: await identitiesOf(options.identity) };
  const backup = await readBackup(source);
  const { manifest } = backup;
  if (options.settingsTo !== undefined && backup.secrets === undefined)
    throw new Fault(`${path} holds no secrets: leave out --settings-to`);
  if (options.replace)
    await confirm(
      `Remove all of the Gatehouse in this database and put what was there at ${manifest.created_at} in its place?`,
      options.yes,
    );
  const progress = progressLine('restoring', options);
  // First the secrets: a database without them would be half a restore, and is refused as not empty the next time.
  await writeSecrets(options.settingsTo, backup);
  try {
    const { onProgress } = progress;
    await restoreBackup({
      ...source,
      databaseUrl: url,
      manifest,
      replace: options.replace ?? false,
      onProgress,
    });
  } catch (error) {
    if (options.settingsTo !== undefined) await rm(options.settingsTo, { recursive: true, force: true });
    throw error;
  } finally {
    progress.end();
  }
  const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
  const said = [
    `restored ${manifest.tables.length} tables with ${rows} rows as of ${manifest.created_at}; every table was read back and compared`,
    aboutSecrets(options, backup),
    ...(manifest.migration === newestMigration
      ? []
      : [`the database is at version ${manifest.migration}: run "gatehouse migrate up" before the start`]),
    'sessions that were ended since then live again: see "Back up and restore" in docs/runbook-procedures.md',
  ];
  const { tables, created_at, migration } = manifest;
  show(options, { created_at, migration, tables, settings_to: options.settingsTo ?? null }, said.join('\n'));
}

function aboutSecrets({ settingsTo }: RestoreOptions, { secrets }: Backup): string {
  if (secrets === undefined) return 'the backup holds no secrets: set them as they were then';
  return settingsTo === undefined
    ? 'its secrets were not written: --settings-to <folder> does, unless you have them'
    : `${settingsTo}/gatehouse.env holds the settings: start the services with them (node --env-file, compose env_file)`;
}

/** Each file is the owner's alone, and so is the folder. */
async function writeSecrets(folder: string | undefined, { secrets }: Backup): Promise<void> {
  if (secrets === undefined || folder === undefined) return;
  const { asEnvFile } = await import('@gatehouse/backup');
  await makePrivateFolder(folder);
  await writeSecretFile(join(folder, 'gatehouse.env'), asEnvFile(secrets));
  for (const { name, content } of secrets.files) {
    const path = normalize(name);
    // Whoever made the backup chose the names: they stay below the folder.
    if (isAbsolute(path) || path.startsWith('..')) throw new Fault(`the backup names a file ${name}`);
    await mkdir(dirname(join(folder, path)), { recursive: true, mode: 0o700 });
    await writeSecretFile(join(folder, path), content);
  }
}
