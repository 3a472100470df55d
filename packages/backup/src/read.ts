import { createHash, type Hash } from 'node:crypto';
import { type ArchiveSource, readArchive } from './archive-reader.ts';
import {
  HEAD_NAME,
  MANIFEST_NAME,
  type Manifest,
  parseHead,
  parseJson,
  parseManifest,
  partName,
  SECRETS_NAME,
  tableOfPart,
} from './manifest.ts';
import { RowSummer } from './row-sum.ts';
import type { Secrets } from './secrets.ts';
import { damaged } from './tar.ts';

/** A backup that has been read to its end and is what was written. */
export interface Backup {
  readonly manifest: Manifest;
  readonly secrets: Secrets | undefined;
}

/** Takes the content of the tables while it is read; it is known to be right only when reading has ended. */
export type PartSink = (table: string, content: Buffer) => Promise<void>;

/**
 * Reads a backup from its first to its last byte and checks all of it: decryption, compression, and of each table the
 * count of rows and the SHA-256. In constant memory, without a database.
 * @throws BackupFault in one line for anything that is not exactly what was written
 */
export async function readBackup(source: ArchiveSource, sink?: PartSink): Promise<Backup> {
  const tables = new Map<string, TableCheck>();
  let manifest: Manifest | undefined;
  let secrets: Buffer | undefined;
  let first = true;
  for await (const { name, content } of readArchive(source)) {
    if (first !== (name === HEAD_NAME) || manifest !== undefined)
      throw damaged(`${name} is not in its place`);
    first = false;
    const table = tableOfPart(name);
    if (name === HEAD_NAME) parseHead(content);
    else if (name === SECRETS_NAME) secrets = content;
    else if (name === MANIFEST_NAME) manifest = parseManifest(content);
    else if (table === undefined) throw damaged(`it holds ${name}, which no backup holds`);
    else {
      checkOf(tables, table).add(name, content);
      await sink?.(table, content);
    }
  }
  if (manifest === undefined) throw damaged('it ends too early');
  compare(manifest, tables);
  return { manifest, secrets: openSecrets(manifest, secrets) };
}

function checkOf(tables: Map<string, TableCheck>, name: string): TableCheck {
  const known = tables.get(name) ?? new TableCheck(name);
  tables.set(name, known);
  return known;
}

/** What of one table has come by. */
class TableCheck {
  readonly #table: string;
  readonly #hash: Hash = createHash('sha256');
  readonly #rows = new RowSummer();
  #parts = 0;
  constructor(table: string) {
    this.#table = table;
  }

  add(name: string, content: Buffer): void {
    this.#parts += 1;
    if (name !== partName(this.#table, this.#parts)) throw damaged(`${name} is not in its place`);
    this.#hash.update(content);
    this.#rows.add(content);
  }

  result(): { parts: number; sha256: string; rows: number; row_sum: string } {
    const { rows, sum } = this.#rows.result();
    return { parts: this.#parts, sha256: this.#hash.digest('hex'), rows, row_sum: sum };
  }
}

function compare({ tables }: Manifest, seen: ReadonlyMap<string, TableCheck>): void {
  const known = new Set(tables.map(({ name }) => name));
  for (const name of seen.keys()) if (!known.has(name)) throw damaged(`its manifest does not know ${name}`);
  for (const table of tables) {
    const found = (seen.get(table.name) ?? new TableCheck(table.name)).result();
    const same =
      found.parts === table.parts &&
      found.rows === table.rows &&
      found.sha256 === table.sha256 &&
      found.row_sum === table.row_sum;
    if (!same) throw damaged(`${table.name} is not what was written`);
  }
}

function openSecrets({ secrets }: Manifest, content: Buffer | undefined): Secrets | undefined {
  const found = content && createHash('sha256').update(content).digest('hex');
  if (found !== secrets?.sha256) throw damaged('the secrets in it are not what was written');
  return content && (parseJson(content, SECRETS_NAME) as Secrets);
}
