import { formatCreds } from './creds.ts';
import { nkeyFromSeed } from './nkey.ts';
import { FileNames } from './nsc-path.ts';

/** What is written of an operator, an account or a user; seeds are found by public key. */
export interface NscExport {
  readonly operator: NscExportEntry;
  readonly accounts: readonly (NscExportEntry & { readonly users: readonly NscExportEntry[] })[];
  /** Seeds to write as `.nk` files, and into the creds of users; none for a store without keys. */
  readonly seeds?: readonly Buffer[] | undefined;
}

export interface NscExportEntry {
  readonly name: string;
  readonly publicKey: string;
  readonly jwt: string;
}

/** A file to write, with its mode: only its owner may read it. */
export interface NscOutputFile {
  readonly path: string;
  readonly content: string;
  readonly mode: number;
}

/**
 * The files of a store and its keys as nsc lays them out: `stores/…` goes into the folder of its stores, `keys/…` into
 * that of its keys (`NKEYS_PATH`). Names that cannot be names of files are escaped; the JWTs keep them as they are.
 */
export function writeNscStore({ operator, accounts, seeds = [] }: NscExport): NscOutputFile[] {
  const files: NscOutputFile[] = [];
  const write = (path: string, content: string) => files.push({ path, content, mode: 0o600 });
  const keys = new Map(seeds.map((seed) => [nkeyFromSeed(seed).publicKey, seed.toString('latin1')] as const));
  const root = new FileNames().of(operator.name, operator.publicKey);
  // Without any operator's key nsc can sign no account: it calls such a store managed.
  const managed = ![...keys.keys()].some((publicKey) => publicKey.startsWith('O'));
  const info = { managed, name: root, kind: 'operator', version: '1' };
  write(`stores/${root}/.nsc`, JSON.stringify(info));
  write(`stores/${root}/${root}.jwt`, operator.jwt);
  const accountNames = new FileNames();
  for (const account of accounts) {
    const folder = accountNames.of(account.name, account.publicKey);
    const path = `stores/${root}/accounts/${folder}`;
    write(`${path}/${folder}.jwt`, account.jwt);
    const userNames = new FileNames();
    for (const user of account.users) {
      const file = userNames.of(user.name, user.publicKey);
      write(`${path}/users/${file}.jwt`, user.jwt);
      const seed = keys.get(user.publicKey);
      if (seed) write(`keys/creds/${root}/${folder}/${file}.creds`, formatCreds({ jwt: user.jwt, seed }));
    }
  }
  for (const [publicKey, seed] of keys)
    write(`keys/keys/${publicKey[0]}/${publicKey.slice(1, 3)}/${publicKey}.nk`, seed);
  return files;
}
