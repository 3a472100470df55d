import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { BackupFault } from './backup-fault.ts';

/** A key pair of the age format: what a backup is encrypted to, and what opens it. */
export interface KeyPair {
  /** Public: `age1…`. */
  readonly recipient: string;
  /** Content of an identity file, as `age-keygen` writes it. Secret. */
  readonly identityFile: string;
}

/** Makes a key pair that `age` itself understands too. */
export async function generateKeyPair(now: Date = new Date()): Promise<KeyPair> {
  const identity = await generateX25519Identity();
  const recipient = await identityToRecipient(identity);
  return {
    recipient,
    identityFile: `# created: ${now.toISOString()}\n# public key: ${recipient}\n${identity}\n`,
  };
}

const keyLines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));

/** The recipients of a file with one on each line (`age --recipients-file`). @throws BackupFault */
export function parseRecipients(text: string, where: string): string[] {
  const found = keyLines(text);
  for (const one of found)
    if (one.startsWith('AGE-SECRET-KEY-'))
      throw new BackupFault(`${where} holds a private key: name the public key (age1…) as the recipient`);
  const wrong = found.findIndex((one) => !/^age1[a-z0-9]+$/.test(one));
  if (found.length === 0 || wrong !== -1)
    throw new BackupFault(`${where} holds no recipient: it looks like age1…, see "gatehouse backup keygen"`);
  return found;
}

/** The identities of a file as `age-keygen` or `gatehouse backup keygen` wrote it. @throws BackupFault */
export function parseIdentities(text: string, where: string): string[] {
  const found = keyLines(text);
  if (found.length === 0 || found.some((one) => !/^AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]+$/.test(one)))
    throw new BackupFault(`${where} holds no age identity (AGE-SECRET-KEY-…)`);
  return found;
}
