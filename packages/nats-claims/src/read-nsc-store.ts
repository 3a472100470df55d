import { parseCreds } from './creds.ts';
import { type DecodedJwt, decodeJwt, JWT_BYTES_MAX, JwtError } from './jwt.ts';
import { textOf } from './loose-json.ts';
import { isPublicKey, NkeyError, nkeyFromSeed } from './nkey.ts';
import { baseName, folderOf, NSC_BYTES_MAX, NSC_FILES_MAX, pathFault } from './nsc-path.ts';
import { type AccountParts, splitAccount } from './split-account.ts';

/** A file of an nsc store or its keys; the path relative, with `/`. */
export interface NscFile {
  readonly path: string;
  readonly content: string;
}

/** A file of which something is wrong. `kept`: what it holds is in the store all the same. */
export interface NscFault {
  readonly path: string;
  readonly message: string;
  readonly kept: boolean;
}

/** What is common to all that has a JWT. */
interface NscEntry {
  readonly path: string;
  /** As in the JWT; without one there, as the file is called. */
  readonly name: string;
  readonly publicKey: string;
  /** The JWT as it was, byte by byte. */
  readonly jwt: string;
  readonly decoded: DecodedJwt;
}

export interface NscOperator extends NscEntry {
  readonly signingKeys: readonly string[];
  readonly systemAccount: string | undefined;
  readonly accounts: readonly NscAccount[];
}

export interface NscAccount extends NscEntry {
  readonly parts: AccountParts;
  readonly users: readonly NscUser[];
}

export interface NscUser extends NscEntry {
  /** The account's key that signed it. */
  readonly issuer: string;
}

/** What a store and its keys hold. */
export interface NscStore {
  readonly operators: readonly NscOperator[];
  /** Seeds by their public keys, whatever they are of; 58 bytes each. Overwrite them after use: {@link wipeSeeds}. */
  readonly seeds: ReadonlyMap<string, Buffer>;
  readonly faults: readonly NscFault[];
  /** Files that hold none of what a store is made of. */
  readonly ignored: readonly string[];
}

/**
 * Reads an nsc store and its keys from their files, wherever they lie: what a file is, its content says; only to which
 * operator an account belongs is read from the folders, when there are several. Never throws for what a file holds.
 */
export function readNscStore(files: readonly NscFile[]): NscStore {
  const reading = new Reading();
  for (const file of withinBounds(files, reading.faults)) reading.take(file);
  return reading.finish();
}

/** Overwrites the seeds. */
export function wipeSeeds({ seeds }: Pick<NscStore, 'seeds'>): void {
  for (const seed of seeds.values()) seed.fill(0);
}

function withinBounds(files: readonly NscFile[], faults: NscFault[]): NscFile[] {
  const seen = new Set<string>();
  let bytes = 0;
  const fine: NscFile[] = [];
  for (const file of files.slice(0, NSC_FILES_MAX)) {
    const key = file.path.normalize('NFC').toLowerCase();
    bytes += file.content.length;
    const fault =
      pathFault(file.path) ??
      (seen.has(key) ? 'Another file has this path, but for upper and lower case.' : undefined) ??
      (file.content.length > JWT_BYTES_MAX + 16_384 ? 'The file is too large.' : undefined) ??
      (bytes > NSC_BYTES_MAX ? 'All files together are too large.' : undefined);
    seen.add(key);
    if (fault === undefined) fine.push(file);
    else if (faults.length < 1000)
      faults.push({ path: file.path.slice(0, 200), message: fault, kept: false });
  }
  if (files.length > NSC_FILES_MAX)
    faults.push({ path: '', message: `There are more than ${NSC_FILES_MAX} files.`, kept: false });
  return fine;
}

class Reading {
  readonly faults: NscFault[] = [];
  readonly #ignored: string[] = [];
  readonly #seeds = new Map<string, Buffer>();
  readonly #entries = new Map<'operator' | 'account' | 'user', Map<string, NscEntry>>([
    ['operator', new Map()],
    ['account', new Map()],
    ['user', new Map()],
  ]);
  readonly #ofCreds: NscEntry[] = [];

  take(file: NscFile): void {
    const name = baseName(file.path);
    if (name.endsWith('.jwt')) this.#takeJwt(file, file.content.trim());
    else if (name.endsWith('.nk')) this.#takeSeed(file, file.content.trim(), name.slice(0, -3));
    else if (name.endsWith('.creds')) this.#takeCreds(file);
    else this.#ignored.push(file.path);
  }

  finish(): NscStore {
    // A user of whom only the creds were kept.
    const users = this.#ofKind('user');
    for (const entry of this.#ofCreds) if (!users.has(entry.publicKey)) users.set(entry.publicKey, entry);
    const accounts = this.#accounts();
    const operators = [...this.#ofKind('operator').values()].map((entry) => operatorOf(entry));
    const owned = Map.groupBy(accounts, (account) => this.#ownerOf(account, operators));
    return {
      operators: operators.map((operator) => ({ ...operator, accounts: owned.get(operator) ?? [] })),
      seeds: this.#seeds,
      faults: this.faults,
      ignored: this.#ignored,
    };
  }

  #ofKind(kind: 'operator' | 'account' | 'user') {
    return this.#entries.get(kind) as Map<string, NscEntry>;
  }

  #fault(path: string, message: string, kept = false): void {
    this.faults.push({ path, message, kept });
  }

  #takeJwt({ path }: NscFile, jwt: string): void {
    const entry = this.#entryOf(path, jwt);
    if (entry === undefined) return;
    const kind = entry.decoded.nats.type;
    if (kind !== 'operator' && kind !== 'account' && kind !== 'user') {
      this.#fault(path, 'This is neither the JWT of an operator nor of an account nor of a user.');
      return;
    }
    if (!isPublicKey(entry.publicKey, kind)) {
      this.#fault(path, `Its subject is not the public key of ${kind === 'user' ? 'a' : 'an'} ${kind}.`);
      return;
    }
    const known = this.#ofKind(kind).get(entry.publicKey);
    if (known !== undefined && known.decoded.iat >= entry.decoded.iat) {
      if (known.jwt !== jwt) this.#fault(path, 'A newer JWT of the same key is there, and was taken.');
      return;
    }
    if (known !== undefined) this.#fault(known.path, 'A newer JWT of the same key is there, and was taken.');
    this.#ofKind(kind).set(entry.publicKey, entry);
  }

  #entryOf(path: string, jwt: string): NscEntry | undefined {
    try {
      const decoded = decodeJwt(jwt);
      const file = baseName(path).replace(/\.(jwt|creds)$/, '');
      return { path, name: decoded.name ?? file, publicKey: decoded.sub, jwt, decoded };
    } catch (error) {
      if (!(error instanceof JwtError)) throw error;
      this.#fault(path, `This is not a JWT that can be read: ${error.message}.`);
      return undefined;
    }
  }

  #takeSeed({ path }: NscFile, text: string, name: string): void {
    let publicKey: string;
    let seed: Buffer;
    try {
      const key = nkeyFromSeed(text);
      [publicKey, seed] = [key.publicKey, key.seed()];
    } catch (error) {
      if (!(error instanceof NkeyError)) throw error;
      this.#fault(path, 'This is not a seed.');
      return;
    }
    if (isPublicKey(name) && name !== publicKey)
      this.#fault(path, 'The seed is of another key than the file is named by; the seed counts.', true);
    if (this.#seeds.has(publicKey)) seed.fill(0);
    else this.#seeds.set(publicKey, seed);
  }

  #takeCreds(file: NscFile): void {
    const creds = parseCreds(file.content);
    if (creds === undefined) {
      this.#fault(file.path, 'This is not a credentials file.');
      return;
    }
    this.#takeSeed(file, creds.seed, '');
    const entry = this.#entryOf(file.path, creds.jwt);
    if (entry?.decoded.nats.type === 'user' && isPublicKey(entry.publicKey, 'user'))
      this.#ofCreds.push(entry);
    else if (entry) this.#fault(file.path, 'The JWT in it is not a user’s.', true);
  }

  #accounts(): NscAccount[] {
    const users = Map.groupBy([...this.#ofKind('user').values()], ({ decoded }) => {
      const { issuer_account: account } = decoded.nats;
      return typeof account === 'string' && account !== '' ? account : decoded.iss;
    });
    const accounts = [...this.#ofKind('account').values()].flatMap((entry) => {
      try {
        const parts = splitAccount(entry.decoded.nats);
        const own = users.get(entry.publicKey) ?? [];
        users.delete(entry.publicKey);
        return [{ ...entry, parts, users: own.map((user) => this.#userOf(user, entry, parts)) }];
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        this.#fault(entry.path, `This account cannot be kept: ${error.message}.`);
        return [];
      }
    });
    for (const orphan of [...users.values()].flat())
      this.#fault(orphan.path, 'The account of this user is not in the store.');
    return accounts;
  }

  #userOf(user: NscEntry, account: NscEntry, parts: AccountParts): NscUser {
    const issuer = user.decoded.iss;
    if (issuer !== account.publicKey && !parts.keys.some(({ publicKey }) => publicKey === issuer))
      this.#fault(
        user.path,
        'This user was signed by a key that its account does not have (any more).',
        true,
      );
    return { ...user, issuer };
  }

  /** The operator whose key signed the account; else the one in whose folder it lies, else the only one. */
  #ownerOf(account: NscAccount, operators: readonly NscOperator[]): NscOperator | undefined {
    const issuer = account.decoded.iss;
    const signer = operators.find((one) => one.publicKey === issuer || one.signingKeys.includes(issuer));
    if (signer !== undefined) return signer;
    const near = operators.find(({ path }) => account.path.startsWith(`${folderOf(path)}/accounts/`));
    const owner = near ?? (operators.length === 1 ? operators[0] : undefined);
    this.#fault(
      account.path,
      owner === undefined
        ? 'No operator in the store signed this account.'
        : 'This account was not signed by a key of its operator.',
      owner !== undefined,
    );
    return owner;
  }
}

function operatorOf(entry: NscEntry): NscOperator {
  const { signing_keys: keys, system_account: system } = entry.decoded.nats;
  const signingKeys = (Array.isArray(keys) ? keys : []).filter((key) => isPublicKey(textOf(key), 'operator'));
  return { ...entry, signingKeys, systemAccount: textOf(system) || undefined, accounts: [] };
}
