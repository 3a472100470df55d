import { domainToASCII, domainToUnicode } from 'node:url';

/** Why an address was refused. */
export type EmailFault =
  | 'empty'
  | 'too_long'
  | 'malformed_text'
  | 'control_characters'
  | 'not_one_address'
  | 'bad_local_part'
  | 'bad_domain';

/** The canonical form is the key of an account; everything that compares addresses compares this. */
export type EmailOutcome =
  | { readonly outcome: 'ok'; readonly email: string }
  | { readonly outcome: 'refused'; readonly fault: EmailFault; readonly reason: string };

/** Longest address, RFC 5321 §4.5.3.1.3 (a path of 256 with its angle brackets). */
export const EMAIL_BYTES_MAX = 254;
const LOCAL_BYTES_MAX = 64;
const DOMAIN_BYTES_MAX = 253;
/** Before NFKC, which can make text eighteen times longer. */
const INPUT_CHARS_MAX = 1024;

const REASONS: Readonly<Record<EmailFault, string>> = {
  empty: 'the address is empty',
  too_long: `the address is longer than ${EMAIL_BYTES_MAX} bytes`,
  malformed_text: 'the address is not well-formed Unicode',
  control_characters: 'the address contains spaces, control or invisible characters',
  not_one_address: 'exactly one address with one @ is needed',
  bad_local_part: 'the part before the @ is not valid',
  bad_domain: 'the part after the @ is not a valid domain name',
};

/** Spaces, controls, format characters, surrogates, private use, unassigned; and what shows as nothing at all. */
const INVISIBLE = /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/u;
/** Dot-atom (RFC 5322 §3.2.3) with the letters of all scripts (RFC 6531); no quoted local parts, no comments. */
const LOCAL_PART = /^[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+)*$/u;
/** Kept away from `domainToASCII`, which parses like a URL: it would cut at `/` and `:` and decode `%41`. */
const DOMAIN_TEXT = /^[\p{L}\p{M}\p{N}.\u3002-]+$/u;
const DOMAIN_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * The canonical form of one e-mail address: trimmed, NFKC, lower case, domain in IDNA's ASCII form. Idempotent.
 * Text is normalised first and checked afterwards: NFKC turns U+FF20 and U+FE6B into a second `@`, and U+2024 into a dot.
 * Plus tags and dots in the local part are kept: they are other mailboxes to most of the world.
 */
export function canonicalEmail(input: string): EmailOutcome {
  if (input.length > INPUT_CHARS_MAX) return refused('too_long');
  if (!input.isWellFormed()) return refused('malformed_text');
  const text = folded(input);
  if (text === '') return refused('empty');
  if (INVISIBLE.test(text)) return refused('control_characters');
  const at = text.indexOf('@');
  if (at === -1 || at !== text.lastIndexOf('@') || /[,;<>]/.test(text)) return refused('not_one_address');

  const local = text.slice(0, at);
  if (!LOCAL_PART.test(local) || Buffer.byteLength(local) > LOCAL_BYTES_MAX) return refused('bad_local_part');
  const domain = canonicalDomain(text.slice(at + 1));
  if (domain === undefined) return refused('bad_domain');
  const email = `${local}@${domain}`;
  if (Buffer.byteLength(email) > EMAIL_BYTES_MAX) return refused('too_long');
  return { outcome: 'ok', email };
}

/** Lower-casing can undo NFKC and the other way round (`İ`, `ϔ`), so both run until nothing changes. */
function folded(input: string): string {
  let text = input;
  for (let round = 0; round < 4; round += 1) {
    const next = text.normalize('NFKC').trim().toLowerCase();
    if (next === text) break;
    text = next;
  }
  return text;
}

function canonicalDomain(text: string): string | undefined {
  if (!DOMAIN_TEXT.test(text)) return undefined;
  const ascii = domainToASCII(text);
  if (ascii === '' || ascii.length > DOMAIN_BYTES_MAX) return undefined;
  const labels = ascii.split('.');
  if (!labels.every((label) => DOMAIN_LABEL.test(label))) return undefined;
  // A last label of digits makes it an IPv4 address (`user@127.1`), which no account should hang on.
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '')) return undefined;
  // `domainToASCII` lets `xn--` labels pass unread; a made-up one would be an address of its own, or another's twin.
  const unicode = domainToUnicode(ascii);
  if (unicode.split('.').some((label) => label.startsWith('xn--'))) return undefined;
  return domainToASCII(unicode) === ascii ? ascii : undefined;
}

function refused(fault: EmailFault): EmailOutcome {
  return { outcome: 'refused', fault, reason: REASONS[fault] };
}
