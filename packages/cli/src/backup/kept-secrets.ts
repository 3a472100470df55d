import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { BackupFault, gatherSecrets, type Secrets } from '@gatehouse/backup';
import { examineRing } from '../doctor/encryption-ring.ts';
import { Fault } from '../fault.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The environment as the services read it: completed by their configuration file. */
export async function servicesEnvironment(): Promise<Environment> {
  const [{ CONFIG_FILE_DEFAULT, ConfigError, withConfigFile }, { services }] = await Promise.all([
    import('@gatehouse/kit/inspection'),
    import('@gatehouse/all-in-one'),
  ]);
  const settings = Object.assign({}, ...services.map((service) => service.settings));
  try {
    return withConfigFile(process.env, { settings, complete: false, fallback: CONFIG_FILE_DEFAULT }).env;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new Fault('the configuration file cannot be used', 1, error.faults);
  }
}

/**
 * What the database is of no use without, from the environment of the services or the home of `npm start`, and proven to
 * be what this database needs.
 * @throws Fault
 */
export async function secretsFor(databaseUrl: string, env: Environment): Promise<Secrets> {
  const { CONFIG_FILE_DEFAULT } = await import('@gatehouse/kit/inspection');
  const config = env.GATEHOUSE_CONFIG?.trim() || (existsSync(CONFIG_FILE_DEFAULT) ? CONFIG_FILE_DEFAULT : '');
  const gathered = gatherSecrets({
    env,
    home: env.GATEHOUSE_HOME,
    files: config === '' ? [] : [{ path: config, name: 'config.yaml' }],
  });
  await requireMatching(databaseUrl, gathered.settings);
  const note = newestNote(env.AUDIT_CHECKPOINT_FILE?.trim() || undefined);
  return {
    ...gathered,
    files: [...gathered.files, ...(note === undefined ? [] : [{ name: 'audit-checkpoint', content: note }])],
  };
}

/** Keys of another installation would be noticed on the day of the restore: too late. */
async function requireMatching(databaseUrl: string, settings: Environment): Promise<void> {
  const { withDatabaseClient } = await import('@gatehouse/backup');
  const checks = await withDatabaseClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ seals: boolean }>(
      `select to_regclass('natsid.encryption_key') is not null as seals`,
    );
    return rows[0]?.seals ? examineRing(client, { env: settings }) : [];
  });
  const failed = checks.find(({ status }) => status === 'failed');
  if (failed !== undefined)
    throw new Fault(`the secrets here are not those of this database: ${failed.finding}`, 1, failed.details);
  const { passwordsWithoutPepper } = await import('@gatehouse/auth/offline');
  const lost = await withDatabaseClient(databaseUrl, (client) => passwordsWithoutPepper(client, settings));
  if (lost > 0)
    throw new Fault(
      `${lost} passwords need a pepper that is not here: set PASSWORD_PEPPER and PASSWORD_FORMER_PEPPERS as the auth service has them`,
    );
}

const TAIL_BYTES = 16 * 1024;

/** The last of the signed notes in a checkpoint file, which only grows. */
function newestNote(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new BackupFault(`AUDIT_CHECKPOINT_FILE cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    readSync(file, tail, 0, tail.length, size - tail.length);
    // A note begins with the origin and, on the next line, the size of the log.
    return tail
      .toString('utf8')
      .split(/\n(?=[^\n]+\n\d+\n)/)
      .at(-1);
  } finally {
    closeSync(file);
  }
}
