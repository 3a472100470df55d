import { explainDatabaseError } from '@gatehouse/schema';
import pg from 'pg';
import { BackupFault } from './backup-fault.ts';

/** The text of every value must be the same on every server, whatever its settings: checksums are over it. */
const SAME_TEXT = {
  timezone: 'UTC',
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  client_encoding: 'UTF8',
};
const NO_LIMITS = { statement_timeout: '0', idle_in_transaction_session_timeout: '0', jit: 'off' };
/** Waiting longer for a lock would make everybody else queue behind us. */
const LOCK_TIMEOUT = { lock_timeout: '30s' };

/** For a connection over which tables are copied; wins over what the URL or the login's own settings say. */
export async function useCopySettings(client: pg.ClientBase): Promise<void> {
  for (const [name, value] of Object.entries({ ...SAME_TEXT, ...NO_LIMITS, ...LOCK_TIMEOUT }))
    await client.query('select set_config($1, $2, false)', [name, value]);
}

/** Works on one connection of its own. @throws BackupFault when the database cannot be reached or refuses */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'gatehouse-backup',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  });
  // A connection that breaks reports through the query that used it; the event alone must not end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    await useCopySettings(client);
    const result = await work(client);
    await client.end();
    return result;
  } catch (error) {
    // Not end(): in the middle of a COPY it would wait for a server that waits for us.
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    throw explained(error);
  }
}

/** A refusal of the database as one line with its remedy. */
export function explained(error: unknown): unknown {
  const connecting = explainDatabaseError(error);
  if (connecting !== undefined) return new BackupFault(connecting);
  const { code } = error as { code?: string };
  if (code === '42501')
    return new BackupFault(
      "the database user may not do that: use the owner's URL, the one that `gatehouse migrate` uses",
    );
  if (code === '53100')
    return new BackupFault('the disk of the database server is full: nothing was changed');
  if (code === '55P03' || code === '40P01')
    return new BackupFault('something else holds a lock on the tables (a migration?): try again');
  return error;
}
