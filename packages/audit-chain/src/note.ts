import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

/** Signs notes under a name (C2SP signed-note, Ed25519). */
export interface NoteSigner {
  readonly name: string;
  readonly privateKey: KeyObject;
}

/** What a verifier must know: `<name>+<key id>+<base64 of 0x01 and the public key>` (C2SP signed-note, verifier keys). */
export interface NoteVerifier {
  readonly name: string;
  readonly keyId: Buffer;
  readonly publicKey: KeyObject;
}

/** A note, or a verifier key, that is not one, or whose signature is not good. */
export class NoteError extends Error {
  override readonly name = 'NoteError';
}

const ED25519 = Buffer.of(1);
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');
const DASH = '—'; // U+2014, as the format wants it

const rawPublicKey = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);

function keyIdOf(name: string, raw: Uint8Array): Buffer {
  return createHash('sha256').update(`${name}\n`).update(ED25519).update(raw).digest().subarray(0, 4);
}

function checkName(name: string): void {
  if (name === '' || /[\s+]/u.test(name)) throw new NoteError('a key name has no spaces and no plus');
}

/** The verifier key of a signer, to hand out. */
export function verifierKeyOf({ name, privateKey }: NoteSigner): string {
  checkName(name);
  const raw = rawPublicKey(privateKey);
  return `${name}+${keyIdOf(name, raw).toString('hex')}+${Buffer.concat([ED25519, raw]).toString('base64')}`;
}

/** Reads a verifier key. @throws NoteError */
export function parseVerifierKey(text: string): NoteVerifier {
  const [name = '', id = '', ...rest] = text.trim().split('+');
  // Base64 may hold plus signs itself.
  const key = Buffer.from(rest.join('+'), 'base64');
  if (name === '' || key.length !== 33 || key[0] !== 1) throw new NoteError('not an Ed25519 verifier key');
  const raw = key.subarray(1);
  const keyId = keyIdOf(name, raw);
  if (keyId.toString('hex') !== id) throw new NoteError('the key id of the verifier key is not its key’s');
  return {
    name,
    keyId,
    publicKey: createPublicKey({ key: Buffer.concat([SPKI, raw]), format: 'der', type: 'spki' }),
  };
}

/** Signs a text, which must end in a line feed. */
export function signNote(text: string, signer: NoteSigner): string {
  if (!text.endsWith('\n') || text.includes('\n\n')) throw new NoteError('a note ends in one line feed');
  checkName(signer.name);
  const id = keyIdOf(signer.name, rawPublicKey(signer.privateKey));
  const signature = sign(null, Buffer.from(text), signer.privateKey);
  return `${text}\n${DASH} ${signer.name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
}

/**
 * The text of a note that one of the verifiers' keys signed. Signatures of others are passed over (C2SP: unknown keys
 * are ignored), a wrong one of a known key is not.
 * @throws NoteError
 */
export function openNote(note: string, verifiers: readonly NoteVerifier[]): string {
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) throw new NoteError('not a signed note');
  const text = note.slice(0, split + 1);
  let good = false;
  for (const line of note.slice(split + 2, -1).split('\n')) {
    const [dash, name, signature, ...rest] = line.split(' ');
    if (dash !== DASH || !name || !signature || rest.length > 0) throw new NoteError('not a signed note');
    const bytes = Buffer.from(signature, 'base64');
    const known = verifiers.find((one) => one.name === name && bytes.subarray(0, 4).equals(one.keyId));
    if (known === undefined) continue;
    if (!verify(null, Buffer.from(text), known.publicKey, bytes.subarray(4)))
      throw new NoteError(`the signature of ${name} is not good`);
    good = true;
  }
  if (!good) throw new NoteError('no signature of a known key');
  return text;
}

/**
 * The signed notes of a text that holds several, one below another with empty lines between them. What is no note (the
 * torn end of a file) is passed over; whether one is signed well is for `openNote` to say.
 */
export function notesIn(text: string): string[] {
  return text.match(/^(?:[^\n]+\n)+\n(?:— [^\n]+\n)+/gm) ?? [];
}
