import { NkeyError, nkeyFromSeed } from './nkey.ts';

/** The two parts of a `.creds` file. */
export interface Creds {
  readonly jwt: string;
  readonly seed: string;
}

/**
 * The `.creds` file that every NATS client reads: five dashes open, six close.
 * @throws NkeyError when the seed is no user's, or not the one that the JWT is about
 */
export function formatCreds({ jwt, seed }: Creds): string {
  if (nkeyFromSeed(seed, 'user').publicKey !== subjectOf(jwt))
    throw new NkeyError('the JWT is about another key than the seed');
  return credsText(jwt, seed);
}

/** The same for a JWT and a seed that are known to belong together: nothing is checked or derived. */
export const credsText = (jwt: string, seed: string): string =>
  `-----BEGIN NATS USER JWT-----
${jwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.
NKEYs are sensitive and should be treated as secrets.

-----BEGIN USER NKEY SEED-----
${seed}
------END USER NKEY SEED------

*************************************************************
`;

/** Whom a JWT that was just signed is about; undefined when it is none. */
function subjectOf(jwt: string): unknown {
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) return undefined;
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()).sub;
  } catch {
    return undefined;
  }
}

const CREDS_BYTES_MAX = 64 * 1024;
const fence = (line: string | undefined): boolean =>
  line !== undefined && line.length >= 6 && line.startsWith('---') && line.endsWith('---');

/**
 * Reads a `.creds` file as clients do: first the JWT, then the seed, each alone between two lines that begin and end with
 * dashes. Undefined when it holds no two parts. Line by line: the clients' own expression takes quadratic time on a file
 * of dashes.
 */
export function parseCreds(text: string): Creds | undefined {
  if (text.length > CREDS_BYTES_MAX) return undefined;
  const lines = text.split('\n').map((line) => line.trim());
  const parts: string[] = [];
  for (let at = 0; at + 2 < lines.length; at += 1) {
    const part = lines[at + 1] ?? '';
    if (!fence(lines[at]) || !fence(lines[at + 2]) || !/^[\w\-.=]+$/.test(part) || fence(part)) continue;
    parts.push(part);
    at += 2;
  }
  const [jwt, seed] = parts;
  return jwt !== undefined && seed !== undefined ? { jwt, seed } : undefined;
}
