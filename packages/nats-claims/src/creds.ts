import { nkeyFromSeed } from './nkey.ts';

/** The two parts of a `.creds` file. */
export interface Creds {
  readonly jwt: string;
  readonly seed: string;
}

/**
 * The `.creds` file that every NATS client reads: five dashes open, six close.
 * @throws NkeyError when the seed is no user's
 */
export function formatCreds({ jwt, seed }: Creds): string {
  nkeyFromSeed(seed, 'user');
  return `-----BEGIN NATS USER JWT-----
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
}

const part = /\s*(?:(?:[-]{3,}.*[-]{3,}\r?\n)([\w\-.=]+)(?:\r?\n[-]{3,}.*[-]{3,}(\r?\n|$)))/g;

/** Reads a `.creds` file as clients do: first the JWT, then the seed; undefined when it holds no two parts. */
export function parseCreds(text: string): Creds | undefined {
  const [jwt, seed] = [...text.matchAll(part)].map((match) => match[1]);
  return jwt !== undefined && seed !== undefined ? { jwt, seed } : undefined;
}
