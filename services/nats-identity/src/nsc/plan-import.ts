import { Problem } from '@gatehouse/kit';
import type { NscAccount, NscOperator, NscStore } from '@gatehouse/nats-claims';
import { readAccountImport } from '../account/account-import.ts';
import { printable } from '../account/signing-key.ts';
import { invalidImport, readOperatorImport } from '../operator/operator-import.ts';
import type { LeftOut } from './nsc-file.ts';
import { forEach } from './store-thread.ts';

/** What of a store will be imported, every part of it read and found usable. */
export interface ImportPlan {
  readonly operator: NscOperator;
  readonly name: string;
  readonly accounts: readonly { readonly account: NscAccount; readonly name: string }[];
  readonly leftOut: readonly LeftOut[];
}

/** How a store is to be imported. */
export interface ImportWish {
  /** Name or public key; needed when the store holds several. */
  readonly operator?: string;
  /** Rather than the operator's own. */
  readonly name?: string;
  /** Import what can be; without it one bad file refuses all. */
  readonly leave_faulty?: boolean;
}

/**
 * Says what will be imported, before anything is written.
 * @throws Problem `invalid_import` with `errors` per file
 */
export async function planImport(store: NscStore, wish: ImportWish): Promise<ImportPlan> {
  const operator = chosen(store, wish.operator);
  const faults: LeftOut[] = store.faults.filter(({ kept }) => !kept).map(shownFault);
  const operatorFaults = faultsOf(operator.path, () =>
    readOperatorImport({ jwt: operator.jwt, ...operatorSeeds(store, operator) }),
  );
  // Without it nothing can be imported.
  if (operatorFaults.length > 0) throw invalidImport(operatorFaults);
  const trusted = new Set([operator.publicKey, ...operator.signingKeys]);
  const usable: NscAccount[] = [];
  await forEach(operator.accounts, (account) => {
    const found = faultsOf(account.path, () =>
      readAccountImport({ jwt: account.jwt, ...accountSeeds(store, account) }, trusted),
    );
    if (found.length === 0) usable.push(account);
    faults.push(...found);
  });
  if (faults.length > 0 && wish.leave_faulty !== true) throw invalidImport(faults);
  const free = new FreeNames();
  return {
    operator,
    name: wish.name ?? free.of(operator.name, operator.publicKey),
    accounts: usable.map((account) => ({ account, name: free.of(account.name, account.publicKey) })),
    leftOut: faults,
  };
}

/** Seeds of an operator that the store has, as `createOperator` takes them. */
export function operatorSeeds({ seeds }: NscStore, { publicKey, signingKeys }: NscOperator) {
  const rootSeed = seeds.get(publicKey);
  return { ...(rootSeed && { rootSeed }), signingSeeds: held(seeds, signingKeys) };
}

/** Seeds of an account that the store has, as `createAccountIn` takes them. */
export function accountSeeds({ seeds }: NscStore, { publicKey, parts }: NscAccount) {
  const seed = seeds.get(publicKey);
  return {
    ...(seed && { seed }),
    signingSeeds: held(
      seeds,
      parts.keys.map((key) => key.publicKey),
    ),
  };
}

const held = (seeds: NscStore['seeds'], keys: readonly string[]): Buffer[] =>
  keys.flatMap((key) => seeds.get(key) ?? []);

function chosen({ operators, faults }: NscStore, wanted: string | undefined): NscOperator {
  const found = operators.filter(
    ({ name, publicKey }) => wanted === undefined || name === wanted || publicKey === wanted,
  );
  const [first, ...others] = found;
  if (first !== undefined && others.length === 0) return first;
  if (first !== undefined)
    throw invalidImport(
      found.map(({ path }) => ({ path, message: 'One of several operators: name one in `operator`.' })),
    );
  throw invalidImport([
    { path: '', message: 'No file holds the JWT of the operator.' },
    ...faults.map(shownFault),
  ]);
}

const shownFault = ({ path, message }: LeftOut): LeftOut => ({ path, message });

/** The faults that reading finds, by the file's path. */
function faultsOf(path: string, read: () => unknown): LeftOut[] {
  try {
    read();
    return [];
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'invalid_import') throw error;
    const { errors } = error.options.members as { errors: readonly LeftOut[] };
    return errors.map((fault) => ({
      path,
      message: `The ${fault.path.replace(/^import\./, '')} ${fault.message}`,
    }));
  }
}

/** Names that are printable and differ in more than case: the JWT keeps its own until somebody changes the object. */
export class FreeNames {
  readonly #taken = new Set<string>();

  of(name: string, publicKey: string): string {
    const shown = printable(name);
    const free = shown !== '' && !this.#taken.has(shown.toLowerCase()) ? shown : publicKey;
    this.#taken.add(free.toLowerCase());
    return free;
  }
}
