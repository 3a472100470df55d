import { Fault } from '../fault.ts';
import { readInput } from '../secret-file.ts';

/** Loaded when a command needs it: it brings the database's driver and the cryptography with it. */
const backup = () => import('@gatehouse/backup');

/** To whom a backup shall be encrypted, as the command was told. */
export interface RecipientOptions {
  readonly recipient?: readonly string[];
  readonly recipientsFile?: string;
  readonly unencrypted?: boolean;
}

/** @throws Fault when nothing was said, or too much */
export async function recipientsOf({
  recipient = [],
  recipientsFile,
  unencrypted,
}: RecipientOptions): Promise<string[]> {
  const { parseRecipients } = await backup();
  const found = [
    ...recipient.flatMap((one) => parseRecipients(one, '--recipient')),
    ...(recipientsFile === undefined ? [] : parseRecipients(await readInput(recipientsFile), recipientsFile)),
  ];
  if (unencrypted && found.length > 0)
    throw new Fault('--unencrypted and a recipient contradict each other', 2);
  if (!unencrypted && found.length === 0)
    throw new Fault(
      'name who may open the backup by --recipient age1… (make a key with "gatehouse backup keygen"), or say --unencrypted',
      2,
    );
  return found;
}

/** The identities of the files named by --identity; none for a backup that is not encrypted. */
export async function identitiesOf(paths: readonly string[] = []): Promise<string[]> {
  if (paths.length === 0) return [];
  const { parseIdentities } = await backup();
  const found: string[] = [];
  for (const path of paths) found.push(...parseIdentities(await readInput(path), path));
  return found;
}

/** Gathers an option that may be given several times. */
export const several = (value: string, before: readonly string[] = []): string[] => [...before, value];
