import { createRequire } from 'node:module';
import type { Command } from 'commander';
import { identitiesOf, type RecipientOptions, recipientsOf, several } from '../backup/key-files.ts';
import { megabytes, progressLine } from '../backup/progress-line.ts';
import { databaseUrl } from '../database-url.ts';
import { Fault } from '../fault.ts';
import { type OutputOptions, show } from '../output.ts';
import { refuseExisting, writeSecretFile } from '../secret-file.ts';

const release: string = createRequire(import.meta.url)('../../package.json').version;

/** `gatehouse backup …`: speaks to the database directly; no service needs to run. */
export function addBackup(program: Command): void {
  const backup = program
    .command('backup')
    .description('everything the installation holds, as of one moment, in one encrypted file');
  addCreate(backup);
  addVerify(backup);
  addKeygen(backup);
}

interface CreateOptions extends RecipientOptions, OutputOptions {
  readonly output: string;
  readonly dataOnly?: boolean;
  readonly force?: boolean;
}

function addCreate(backup: Command): void {
  backup
    .command('create', { isDefault: true })
    .description(
      'back up all schemas beside the traffic, and the secrets they need (needs DATABASE_URL of the owner, and the environment of the services)',
    )
    .requiredOption('--output <file>', 'the backup to write')
    .option('--recipient <age1…>', 'who may open it; may be given several times', several)
    .option('--recipients-file <file>', 'file with a recipient on each line')
    .option('--data-only', 'leave out the settings and secrets: then keep them elsewhere')
    .option('--unencrypted', 'let everybody who gets the file read it; never with secrets')
    .option('--force', 'take the place of a file that is there')
    .addHelpText(
      'after',
      `
Examples:
  gatehouse backup create --output gatehouse.backup --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  gatehouse backup --output gatehouse.backup --recipients-file operators.txt
`,
    )
    .action(async (_options: unknown, command: Command) => create(command.optsWithGlobals<CreateOptions>()));
}

async function create(options: CreateOptions): Promise<void> {
  const recipients = await recipientsOf(options);
  if (options.unencrypted && !options.dataOnly)
    throw new Fault('a backup that is not encrypted never holds the secrets: say --data-only too', 2);
  const [{ createBackup }, { secretsFor, servicesEnvironment }] = await Promise.all([
    import('@gatehouse/backup'),
    import('../backup/kept-secrets.ts'),
  ]);
  const env = options.dataOnly ? process.env : await servicesEnvironment();
  const url = databaseUrl(env);
  const secrets = options.dataOnly ? undefined : await secretsFor(url, env);
  const progress = progressLine('backing up', options);
  const { bytes, manifest } = await createBackup({
    databaseUrl: url,
    path: options.output,
    recipients,
    force: options.force ?? false,
    release,
    secrets,
    onProgress: progress.onProgress,
  }).finally(progress.end);
  const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
  const said = [
    `${options.output}: ${manifest.tables.length} tables, ${rows} rows, ${megabytes(bytes)}, version ${manifest.migration}`,
    secrets === undefined
      ? 'without the secrets: keep GATEHOUSE_SECRET and ENCRYPTION_KEYS elsewhere, the data is of no use without them'
      : `with ${manifest.secrets?.names.join(', ')}`,
  ];
  show(options, { path: options.output, bytes, ...manifest }, said.join('\n'));
}

interface VerifyOptions extends OutputOptions {
  readonly identity?: readonly string[];
}

function addVerify(backup: Command): void {
  backup
    .command('verify')
    .argument('<file>', 'the backup')
    .description('read a backup to its last byte and check all of it; needs no database')
    .option('--identity <file>', 'file with the private key; may be given several times', several)
    .addHelpText(
      'after',
      '\nExample:\n  gatehouse backup verify gatehouse.backup --identity backup-key.txt\n',
    )
    .action(async (path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<VerifyOptions>();
      const { readBackup } = await import('@gatehouse/backup');
      const { manifest } = await readBackup({ path, identities: await identitiesOf(options.identity) });
      const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
      const kept = manifest.secrets === null ? 'without' : 'with';
      show(
        options,
        manifest,
        `${path} is whole: of ${manifest.created_at}, version ${manifest.migration}, ${manifest.tables.length} tables, ${rows} rows, ${kept} secrets`,
      );
    });
}

function addKeygen(backup: Command): void {
  backup
    .command('keygen')
    .description('make a key pair for backups: the private half into a file, the public half is shown')
    .requiredOption(
      '--output <file>',
      'the private key; keep it away from the machine that makes the backups',
    )
    .addHelpText('after', '\nExample:\n  gatehouse backup keygen --output backup-key.txt\n')
    .action(async ({ output }: { output: string }, command: Command) => {
      await refuseExisting(output);
      const { generateKeyPair } = await import('@gatehouse/backup');
      const { recipient, identityFile } = await generateKeyPair();
      await writeSecretFile(output, identityFile);
      show(
        command.optsWithGlobals<OutputOptions>(),
        { recipient, identity_file: output },
        `${recipient}\n${output} opens what is encrypted to it: keep it elsewhere than the backups`,
      );
    });
}
