import { damaged } from './tar.ts';

/** The format's name and version; a reader refuses versions it does not know. */
export const FORMAT = 'gatehouse-backup/1';

/** First file of a backup: tells what it is before anything else is read. */
export const HEAD_NAME = 'gatehouse-backup.json';
/** The settings and secrets, when they are in it. */
export const SECRETS_NAME = 'secrets.json';
/** Last file: what has been written. A backup without it was cut short. */
export const MANIFEST_NAME = 'manifest.json';

/** What a backup says of itself at its beginning. */
export interface Head {
  readonly format: string;
  /** ISO 8601, of the database's clock at the snapshot. */
  readonly created_at: string;
  /** The release that made it. */
  readonly release: string;
  /** The last migration of the database. */
  readonly migration: string;
  /** Version of the Postgres server. */
  readonly postgres: string;
}

/** One table as it was written. */
export interface SavedTable {
  /** With its schema, e.g. `auth.user_account`. */
  readonly name: string;
  readonly columns: readonly string[];
  /** Files `data/<name>/<number>` that hold it. */
  readonly parts: number;
  readonly bytes: number;
  readonly rows: number;
  /** Over the bytes in their order. */
  readonly sha256: string;
  /** Over the rows in any order. */
  readonly row_sum: string;
}

/** Where a sequence stood. */
export interface SavedSequence {
  readonly name: string;
  readonly last_value: string;
  readonly is_called: boolean;
}

/** What has been written, with all that is needed to check it. */
export interface Manifest extends Head {
  readonly tables: readonly SavedTable[];
  readonly sequences: readonly SavedSequence[];
  /** Months of the audit trail that had a partition, as `2026-11-01`. */
  readonly months: readonly string[];
  /** Names of the settings in `secrets.json`, and its SHA-256; null when it was left out. */
  readonly secrets: { readonly names: readonly string[]; readonly sha256: string } | null;
}

/** Name of one file of a table; the number counts from 1. */
export const partName = (table: string, number: number): string =>
  `data/${table}/${String(number).padStart(8, '0')}.copy`;

/** Which table a file belongs to, or undefined for other files. */
export const tableOfPart = (name: string): string | undefined =>
  /^data\/([a-z_]+\.[a-z0-9_]+)\/\d{8}\.copy$/.exec(name)?.[1];

/** @throws BackupFault when it is not a head of a format that this release reads */
export function parseHead(content: Buffer): Head {
  const head = parseJson(content, HEAD_NAME) as Partial<Head>;
  if (head.format !== FORMAT)
    throw damaged(`its format is ${String(head.format)}, this release reads ${FORMAT}: use a newer release`);
  return head as Head;
}

/** @throws BackupFault */
export function parseManifest(content: Buffer): Manifest {
  const manifest = parseJson(content, MANIFEST_NAME) as Manifest;
  if (
    !Array.isArray(manifest.tables) ||
    !Array.isArray(manifest.sequences) ||
    !Array.isArray(manifest.months)
  )
    throw damaged(`${MANIFEST_NAME} is not complete`);
  return manifest;
}

/** @throws BackupFault */
export function parseJson(content: Buffer, name: string): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    throw damaged(`${name} is not JSON`);
  }
}
