import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import { inMigratingTransaction, knownMigrations, newestMigration } from '@gatehouse/schema';
import pg from 'pg';
import { type CopyStreamQuery, from as copyFrom, to as copyTo } from 'pg-copy-streams';
import type { ArchiveSource } from './archive-reader.ts';
import { BackupFault } from './backup-fault.ts';
import { explained, useCopySettings } from './connection.ts';
import { copyOut, type Progress } from './create.ts';
import { backedUpSchemas, readLayout } from './layout.ts';
import type { Manifest, SavedTable } from './manifest.ts';
import { readBackup } from './read.ts';
import { RowSummer } from './row-sum.ts';

/** What to restore and where to. */
export interface RestoreOptions extends ArchiveSource {
  /** The owner's. */
  readonly databaseUrl: string;
  /** As {@link readBackup} has read it; what is loaded must be the same again. */
  readonly manifest: Manifest;
  /** Removes the Gatehouse that is there. */
  readonly replace: boolean;
  readonly onProgress?: (progress: Progress) => void;
}

/** Gone once its rows are in the chains; a migrated database has it, a backup need not. */
const LEAVES = 'audit.event_unchained';

/**
 * Brings a database to exactly what the backup holds: its version, its rows, its sequences. Reads every table back and
 * compares before it commits. One transaction: whatever goes wrong, the database is as it was.
 * @throws BackupFault in one line
 */
export async function restoreBackup(options: RestoreOptions): Promise<void> {
  const { manifest, databaseUrl } = options;
  if (!knownMigrations.includes(manifest.migration))
    throw new BackupFault(
      `the backup is of version ${manifest.migration}, this release knows up to ${newestMigration}: use release ${manifest.release} or a newer one`,
    );
  try {
    await inMigratingTransaction(databaseUrl, async ({ client, migrateTo }) => {
      await useCopySettings(client);
      await makeRoom(client, options.replace);
      await migrateTo(manifest.migration);
      await makeTables(client, manifest);
      await load(client, options);
      await setSequences(client, manifest);
      await compareAll(client, manifest);
    });
  } catch (error) {
    throw explained(error);
  }
}

/** Leaves no Gatehouse in the database, or refuses. */
async function makeRoom(client: pg.ClientBase, replace: boolean): Promise<void> {
  const { rows: found } = await client.query<{ name: string }>(
    'select nspname as name from pg_namespace where nspname = any ($1) order by 1',
    [backedUpSchemas],
  );
  if (found.length === 0) return;
  const names = found.map(({ name }) => name).join(', ');
  const { rows } = await client.query<{ ours: boolean }>(
    `select to_regclass('gatehouse.kysely_migration') is not null as ours`,
  );
  if (rows[0]?.ours !== true)
    throw new BackupFault(`the database has schemas of other origin (${names}): use a database of its own`);
  if (!replace && (await holdsData(client)))
    throw new BackupFault(
      'the database is not empty: restore into an empty one, or say --replace to remove what is there',
    );
  await requireAlone(client);
  await client.query(`drop schema ${names} cascade`);
}

/** A database that was only migrated holds nothing but the default tenant. */
async function holdsData(client: pg.ClientBase): Promise<boolean> {
  const { tables } = await readLayout(client);
  for (const { name } of tables) {
    if (name === 'auth.tenant' || name.startsWith('gatehouse.')) continue;
    const { rows } = await client.query<{ some: boolean }>(`select exists (select from ${name}) as some`);
    if (rows[0]?.some === true) return true;
  }
  return false;
}

/** Services that run would go on with what they keep in memory, and write into what is being loaded. */
async function requireAlone(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ name: string }>(`
    select distinct application_name as name from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and application_name like 'gatehouse-%'
      and application_name <> 'gatehouse-migrate' order by 1`);
  if (rows.length > 0)
    throw new BackupFault(
      `stop the services first: ${rows.map(({ name }) => name).join(', ')} are connected to this database (a pooler keeps connections of theirs for a while: PgBouncer for server_idle_timeout, or until RECONNECT in its console)`,
    );
}

async function makeTables(client: pg.ClientBase, { tables, months }: Manifest): Promise<void> {
  for (const month of months) await client.query('select audit.ensure_partition($1)', [month]);
  const here = new Map((await readLayout(client)).tables.map((table) => [table.name, table.columns]));
  if (here.has(LEAVES) && !tables.some(({ name }) => name === LEAVES)) {
    await client.query(`drop table ${LEAVES}`);
    here.delete(LEAVES);
  }
  for (const { name, columns } of tables) {
    if (here.get(name)?.join() !== columns.join())
      throw new BackupFault(`the backup's table ${name} is not that of its version: it was altered by hand`);
    here.delete(name);
  }
  if (here.size > 0) throw new BackupFault(`the backup lacks the table ${[...here.keys()].join(', ')}`);
  await client.query(`truncate ${tables.map(({ name }) => name).join(', ')}`);
}

async function load(client: pg.ClientBase, options: RestoreOptions): Promise<void> {
  const tables = new Map(options.manifest.tables.map((table) => [table.name, table]));
  const loading = new Loading(client);
  let bytes = 0;
  try {
    const again = await readBackup(options, async (name, content) => {
      const table = tables.get(name);
      if (table === undefined) throw changed();
      await loading.put(table, content);
      bytes += content.length;
      options.onProgress?.({ table: name, rows: loading.rows, bytes });
    });
    await loading.end();
    if (JSON.stringify(again.manifest) !== JSON.stringify(options.manifest)) throw changed();
  } catch (error) {
    await loading.abort();
    throw error;
  }
}

/** One COPY a table, each ended by the beginning of the next. */
class Loading {
  readonly #client: pg.ClientBase;
  #open: { readonly table: SavedTable; readonly into: CopyStreamQuery } | undefined;
  rows = 0;
  constructor(client: pg.ClientBase) {
    this.#client = client;
  }

  async put(table: SavedTable, content: Buffer): Promise<void> {
    if (this.#open?.table.name !== table.name) {
      await this.end();
      const into = this.#client.query(copyFrom(copyIn(table)));
      // Told by the write that follows, or by end().
      into.on('error', () => {});
      this.#open = { table, into };
    }
    const { into } = this.#open;
    if (into.errored) throw into.errored;
    if (!into.write(content)) await once(into, 'drain');
  }

  async end(): Promise<void> {
    if (this.#open === undefined) return;
    const { into, table } = this.#open;
    this.#open = undefined;
    into.end();
    await finished(into);
    this.rows += table.rows;
  }

  /** Until Postgres has heard of it, no rollback can follow. */
  async abort(): Promise<void> {
    if (this.#open === undefined) return;
    const { into } = this.#open;
    this.#open = undefined;
    into.destroy(new Error('not restored'));
    await finished(into).catch(() => {});
  }
}

const changed = () => new BackupFault('the file of the backup has changed while it was being restored');

const copyIn = ({ name, columns }: SavedTable): string =>
  `copy ${name} (${columns.map((one) => pg.escapeIdentifier(one)).join(', ')}) from stdin`;

async function setSequences(client: pg.ClientBase, { sequences }: Manifest): Promise<void> {
  for (const { name, last_value, is_called } of sequences)
    await client.query('select setval($1::regclass, $2, $3)', [name, last_value, is_called]);
}

/** What is in the database now must be what was in the other one. */
async function compareAll(client: pg.ClientBase, { tables }: Manifest): Promise<void> {
  for (const table of tables) {
    const rows = new RowSummer();
    for await (const chunk of client.query(copyTo(copyOut(table))) as AsyncIterable<Buffer>) rows.add(chunk);
    const found = rows.result();
    if (found.rows !== table.rows || found.sum !== table.row_sum)
      throw new BackupFault(`${table.name} reads back other than it was saved: nothing was changed`);
    await client.query(`analyze ${table.name}`);
  }
}
