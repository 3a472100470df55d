import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NoteError, type NoteVerifier, parseVerifierKey } from '@gatehouse/audit-chain';
import { changingConfig, sessionPath } from '../config-folder.ts';
import { Fault } from '../fault.ts';
import { writeSecretFile } from '../secret-file.ts';

/** Keys of audit logs that were seen before, by the name of the log. */
type Keys = Readonly<Record<string, string>>;

const keysPath = () => join(dirname(sessionPath()), 'audit-keys.json');

/** A verifier key as it was given. @throws Fault (2) */
export function verifierOf(text: string): NoteVerifier {
  try {
    return parseVerifierKey(text);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new Fault(`--key is not a verifier key (${error.message}): it reads <origin>+<id>+<key>`, 2);
  }
}

/** The key of a log that was trusted before, or undefined. */
export async function trustedKey(origin: string): Promise<NoteVerifier | undefined> {
  const keys = await readKeys();
  const text = Object.hasOwn(keys, origin) ? keys[origin] : undefined;
  return text === undefined ? undefined : verifierOf(text);
}

/**
 * The key that an installation names, trusted on first use: whoever has the installation later cannot name another.
 * @returns whether it was new
 * @throws Fault when it is not the one that was trusted before
 */
export async function trustKey(
  address: string,
  text: string,
): Promise<{ key: NoteVerifier; isNew: boolean }> {
  const key = verifierOf(text);
  const isNew = await changingConfig(async () => {
    const keys = await readKeys();
    // Under the address as well: a log that changes its name does not become trusted by that.
    const known = keys[address] ?? keys[key.name];
    if (known !== undefined && known !== text)
      throw new Fault(
        `the key of the audit log at ${address} is not the one that was trusted before: if it was changed on purpose, give the new one with --key or remove the old one from ${keysPath()}`,
      );
    if (known !== undefined && keys[address] !== undefined) return false;
    const all = { ...keys, [address]: text, [key.name]: text };
    await writeSecretFile(keysPath(), `${JSON.stringify(all, null, 2)}\n`, true);
    return known === undefined;
  });
  return { key, isNew };
}

async function readKeys(): Promise<Keys> {
  const path = keysPath();
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw new Fault(`${path} cannot be read (${error.code ?? 'failed'})`);
  });
  try {
    return JSON.parse(text) as Keys;
  } catch {
    // Not taken for empty: that would trust anything anew.
    throw new Fault(`${path} is damaged: mend it, or remove it and give the key with --key`);
  }
}
