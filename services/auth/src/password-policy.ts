/** Why a new password was refused; NIST SP 800-63B-4 §3.1.1.2 knows no other reasons (no composition rules). */
export type PasswordFault = 'malformed' | 'too_short' | 'too_long' | 'common' | 'is_email' | 'is_name';

export interface PasswordReason {
  readonly code: PasswordFault;
  /** A sentence for the person choosing. */
  readonly message: string;
}

/** A password fit to be hashed or compared: well-formed, NFKC, at most 1,024 code points. */
export type PasswordText =
  | { readonly outcome: 'ok'; readonly password: string }
  | { readonly outcome: 'refused'; readonly reason: PasswordReason };

/** Code points after NFKC. */
export const PASSWORD_LENGTH_MIN = 8;
/** Code points after NFKC. */
export const PASSWORD_LENGTH_MAX = 1024;

const MESSAGES: Readonly<Record<PasswordFault, string>> = {
  malformed: 'The password contains characters that cannot be stored.',
  too_short: `The password needs at least ${PASSWORD_LENGTH_MIN} characters.`,
  too_long: `The password may have at most ${PASSWORD_LENGTH_MAX} characters.`,
  common: 'The password is on the list of commonly used passwords.',
  is_email: 'The password is your e-mail address or its first part.',
  is_name: 'The password is your name.',
};

/**
 * The one form in which passwords reach the hasher, at registration and at sign-in alike (NIST SP 800-63B-4 §3.1.1.2
 * asks for normalisation, so that the same keys on another keyboard give the same password).
 * Lone surrogates and NUL are refused: two of the former are the same bytes in UTF-8, the latter ends a C string.
 */
export function passwordText(input: string): PasswordText {
  // Composition puts at most four UTF-16 units into one code point, so this never refuses what NFKC would let pass;
  // it keeps megabytes away from the normaliser.
  if (input.length > PASSWORD_LENGTH_MAX * 4) return { outcome: 'refused', reason: reason('too_long') };
  if (!input.isWellFormed() || input.includes('\0'))
    return { outcome: 'refused', reason: reason('malformed') };
  const password = input.normalize('NFKC');
  if (lengthOf(password) > PASSWORD_LENGTH_MAX) return { outcome: 'refused', reason: reason('too_long') };
  return { outcome: 'ok', password };
}

/** What the password must not be. */
export interface PasswordOwner {
  /** Canonical form. */
  readonly email: string;
  readonly name?: string | undefined;
}

/** Everything that speaks against a new password; empty when it may be used. */
export async function passwordFaults(input: string, owner: PasswordOwner): Promise<PasswordReason[]> {
  const text = passwordText(input);
  if (text.outcome === 'refused') return [text.reason];
  const folded = fold(text.password);
  const faults: PasswordFault[] = [];
  if (lengthOf(text.password) < PASSWORD_LENGTH_MIN) faults.push('too_short');
  if (await isCommon(folded)) faults.push('common');
  if (emailForms(owner.email).includes(folded)) faults.push('is_email');
  if (nameForms(owner.name ?? '').includes(squeezed(folded))) faults.push('is_name');
  return faults.map(reason);
}

function reason(code: PasswordFault): PasswordReason {
  return { code, message: MESSAGES[code] };
}

function lengthOf(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase().normalize('NFKC');
}

function squeezed(text: string): string {
  return text.replace(/[\s._-]+/g, '');
}

function emailForms(email: string): string[] {
  const folded = fold(email);
  return [folded, folded.slice(0, Math.max(0, folded.lastIndexOf('@')))];
}

function nameForms(name: string): string[] {
  const words = fold(name)
    .split(/[\s._-]+/)
    .filter((word) => word !== '');
  return [words.join(''), words.toReversed().join('')];
}

let commonPasswords: Promise<ReadonlySet<string>> | undefined;

/** The list (49,000 leaked passwords, 18,000 of them long enough to matter) is loaded at the first registration. */
async function isCommon(folded: string): Promise<boolean> {
  commonPasswords ??= import('@zxcvbn-ts/language-common').then(
    ({ dictionary }) =>
      new Set(dictionary['passwords-common'].filter((entry) => entry.length >= PASSWORD_LENGTH_MIN)),
  );
  return (await commonPasswords).has(folded);
}
