import { createHash } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { knownMigrations, newestMigration } from '@gatehouse/schema';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { type ArchiveTarget, type ArchiveWriter, writeArchive } from './archive-writer.ts';
import { BackupFault } from './backup-fault.ts';
import { withClient } from './connection.ts';
import { type Layout, readLayout, type TableLayout } from './layout.ts';
import {
  FORMAT,
  HEAD_NAME,
  type Head,
  MANIFEST_NAME,
  type Manifest,
  partName,
  type SavedTable,
  SECRETS_NAME,
} from './manifest.ts';
import { RowSummer } from './row-sum.ts';
import type { Secrets } from './secrets.ts';

/** How far a backup or a restore is. */
export interface Progress {
  readonly table: string;
  /** Rows and bytes so far, of all tables. */
  readonly rows: number;
  readonly bytes: number;
}

/** What to back up and where to. */
export interface CreateOptions extends ArchiveTarget {
  /** The owner's. */
  readonly databaseUrl: string;
  readonly release: string;
  /** Settings and secrets to put beside the data. */
  readonly secrets: Secrets | undefined;
  readonly onProgress?: (progress: Progress) => void;
}

/** A backup that has been made. */
export interface Created {
  /** Size of the file. */
  readonly bytes: number;
  readonly manifest: Manifest;
}

/** Tables are cut into files of about this size, which is what a backup holds in memory. */
const PART_BYTES = 4 * 1024 * 1024;
/** Kysely's: held by whoever migrates. */
const MIGRATION_LOCK = '3853314791062309107';

/**
 * Backs up all schemas as of one moment, beside the traffic, and writes them into one file. In constant memory: what the
 * disk does not take yet waits in Postgres.
 * @throws BackupFault in one line; then there is no file
 */
export async function createBackup(options: CreateOptions): Promise<Created> {
  if (!options.force && (await lstat(options.path).catch(() => undefined)) !== undefined)
    throw new BackupFault(`${options.path} is there already: choose another file, or say --force`);
  let manifest: Manifest | undefined;
  const bytes = await writeArchive(options, (archive) =>
    withClient(options.databaseUrl, async (client) => {
      const { head, layout } = await openSnapshot(client, options.release);
      manifest = await writeAll({ client, archive, head, layout }, options);
      await client.query('commit');
    }),
  );
  if (manifest === undefined) throw new Error('a backup without a manifest');
  return { bytes, manifest };
}

/**
 * Begins the transaction whose snapshot everything is read from. Locked before the first look, so that nothing is
 * dropped or altered between the look and the copy; migrations wait until the locks are there.
 */
async function openSnapshot(client: pg.Client, release: string): Promise<{ head: Head; layout: Layout }> {
  await client.query(`select pg_advisory_lock_shared(${MIGRATION_LOCK})`);
  await requireGatehouse(client);
  const before = await readLayout(client);
  await client.query('begin isolation level repeatable read read only');
  // A lock takes no snapshot; the queries after it do.
  await client.query(`lock table ${before.tables.map(({ name }) => name).join(', ')} in access share mode`);
  await client.query(`select pg_advisory_unlock_shared(${MIGRATION_LOCK})`);
  const { rows } = await client.query<Omit<Head, 'format' | 'release'>>(`
    select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at,
      (select max(name) from gatehouse.kysely_migration) as migration, current_setting('server_version') as postgres`);
  const [row] = rows;
  if (row === undefined) throw new Error('the database said nothing of itself');
  if (!knownMigrations.includes(row.migration))
    throw new BackupFault(
      `the database is at version ${row.migration}, this release knows up to ${newestMigration}: use the newer release`,
    );
  return { head: { format: FORMAT, release, ...row }, layout: await readLayout(client) };
}

async function requireGatehouse(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ found: boolean }>(
    `select to_regclass('gatehouse.kysely_migration') is not null as found`,
  );
  if (rows[0]?.found !== true) throw new BackupFault('there is no Gatehouse in this database');
}

interface Writing {
  readonly client: pg.Client;
  readonly archive: ArchiveWriter;
  readonly head: Head;
  readonly layout: Layout;
}

async function writeAll(
  { client, archive, head, layout }: Writing,
  { secrets, onProgress }: CreateOptions,
): Promise<Manifest> {
  await archive.write(HEAD_NAME, json(head));
  const kept = secrets === undefined ? null : json(secrets);
  if (kept !== null) await archive.write(SECRETS_NAME, kept);
  const tables: SavedTable[] = [];
  let [rows, bytes] = [0, 0];
  for (const table of layout.tables) {
    const saved = await writeTable(client, archive, table, (done) =>
      onProgress?.({ table: table.name, rows: rows + done.rows, bytes: bytes + done.bytes }),
    );
    rows += saved.rows;
    bytes += saved.bytes;
    tables.push(saved);
  }
  const manifest: Manifest = {
    ...head,
    tables,
    sequences: layout.sequences,
    months: layout.months,
    secrets: secrets && kept ? { names: secretNames(secrets), sha256: sha256(kept) } : null,
  };
  await archive.write(MANIFEST_NAME, json(manifest));
  return manifest;
}

const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const secretNames = ({ settings, files }: Secrets): string[] => [
  ...Object.keys(settings),
  ...files.map(({ name }) => name),
];

async function writeTable(
  client: pg.Client,
  archive: ArchiveWriter,
  { name, columns }: TableLayout,
  onProgress: (done: { rows: number; bytes: number }) => void,
): Promise<SavedTable> {
  const whole = createHash('sha256');
  const rows = new RowSummer();
  let [parts, bytes, kept] = [0, 0, 0];
  let waiting: Buffer[] = [];
  const flush = async () => {
    if (kept === 0) return;
    const content = Buffer.concat(waiting);
    [waiting, kept] = [[], 0];
    parts += 1;
    await archive.write(partName(name, parts), content);
    onProgress({ rows: rows.count, bytes });
  };
  for await (const chunk of client.query(copyTo(copyOut({ name, columns }))) as AsyncIterable<Buffer>) {
    whole.update(chunk);
    rows.add(chunk);
    waiting.push(chunk);
    kept += chunk.length;
    bytes += chunk.length;
    if (kept >= PART_BYTES) await flush();
  }
  await flush();
  const { rows: count, sum } = rows.result();
  return { name, columns, parts, bytes, rows: count, sha256: whole.digest('hex'), row_sum: sum };
}

/** The rows of a table in COPY's text format, which every version of Postgres reads. */
export const copyOut = ({ name, columns }: TableLayout): string =>
  `copy (select ${columns.map((one) => pg.escapeIdentifier(one)).join(', ')} from ${name}) to stdout`;
