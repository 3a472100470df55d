import { hash } from 'node:crypto';
import { hmacSha256, newSecretBytes, type Secrets } from '@gatehouse/kit';

/** A refresh token and what is stored of it. */
export interface RefreshToken {
  /** 256 bits as 43 base64url characters; leaves the process only in the answer. */
  readonly token: string;
  /** SHA-256 of the text. */
  readonly hash: Buffer;
}

/** Makes and recognises refresh tokens. */
export interface RefreshTokens {
  /** The random first token of a session. */
  first(): RefreshToken;
  /** The one successor that a token can have. */
  successorOf(token: string): RefreshToken;
}

const form = /^[A-Za-z0-9_-]{43}$/;

/** Whether a text can be a refresh token at all; anything else never reaches the database. */
export const isRefreshToken = (text: string): boolean => form.test(text);

/**
 * What is stored and looked up. Of the text, not of the decoded bytes: base64url has four spellings of each 43
 * characters' worth of bytes, and only the one we gave out is the token.
 */
export const hashOf = (token: string): Buffer => hash('sha256', token, 'buffer');

/**
 * The successor derives from the presented token under a server key, so that an honest retry can be given the same
 * one again although only hashes are stored. Without the key nobody gets from a token to its successor.
 */
export function openRefreshTokens(secrets: Pick<Secrets, 'key'>): RefreshTokens {
  const mac = hmacSha256(secrets.key('refresh-successor'));
  const withHash = (token: string) => ({ token, hash: hashOf(token) });
  return {
    first: () => withHash(newSecretBytes().toString('base64url')),
    successorOf: (token) => withHash(mac(token)),
  };
}
