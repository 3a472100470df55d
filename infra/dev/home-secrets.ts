import { randomBytes } from 'node:crypto';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EmbeddedError } from '@gatehouse/embedded';
import { readJson, secretsFile } from './installation-home.mjs';

/** What an installation keeps for itself in `<home>/secrets.json`, readable by its owner only. */
export interface HomeSecrets {
  GATEHOUSE_SECRET: string;
  ENCRYPTION_KEYS: string;
  ENCRYPTION_CURRENT_KEY_ID: string;
  postgresPassword: string;
}

const SECRET_BYTES = 32;
const makeSecret = () => randomBytes(SECRET_BYTES).toString('base64url');

/** Reads the secrets, first making them up in a new home. */
export function openHomeSecrets(home: string): HomeSecrets {
  const file = secretsFile(home);
  const known = readSecrets(file);
  if (known) return known;
  // A database without the keys to it: making new ones up would only hide the loss.
  if (existsSync(join(home, 'postgres')) || existsSync(join(home, 'postgres-data'))) {
    throw new EmbeddedError(
      `${file} is missing, and the database in ${home} cannot be used without it: restore it, or remove ${home} to begin anew`,
    );
  }
  const made: HomeSecrets = {
    GATEHOUSE_SECRET: makeSecret(),
    ENCRYPTION_KEYS: `k1:${makeSecret()}`,
    ENCRYPTION_CURRENT_KEY_ID: 'k1',
    postgresPassword: makeSecret(),
  };
  writePrivately(file, made);
  return made;
}

function readSecrets(file: string): HomeSecrets | undefined {
  let known: Partial<HomeSecrets> | undefined;
  try {
    known = readJson(file) as Partial<HomeSecrets> | undefined;
  } catch {
    known = {};
  }
  if (known === undefined) return undefined;
  const { GATEHOUSE_SECRET, ENCRYPTION_KEYS, ENCRYPTION_CURRENT_KEY_ID, postgresPassword } = known;
  if (GATEHOUSE_SECRET && ENCRYPTION_KEYS && ENCRYPTION_CURRENT_KEY_ID && postgresPassword) {
    return { GATEHOUSE_SECRET, ENCRYPTION_KEYS, ENCRYPTION_CURRENT_KEY_ID, postgresPassword };
  }
  throw new EmbeddedError(`${file} is damaged: restore it from a copy`);
}

/** Writes JSON that nobody else may read, in full or not at all. */
export function writePrivately(file: string, content: unknown): void {
  const draft = `${file}.new-${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, file);
}
