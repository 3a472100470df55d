import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import { pino } from 'pino';
import type { RevocationFeed } from './revocation-feed.ts';
import type { SigningAlgorithm, UncheckedJwk } from './verification-keys.ts';
import { createVerifier, type Verifier, type VerifierOptions } from './verifier.ts';

export const issuer = 'https://id.example';
const audience = 'gatehouse';
export const algorithms: readonly SigningAlgorithm[] = ['RS256', 'ES256', 'EdDSA'];

/** A key pair of the token service. */
export interface Signer {
  readonly alg: SigningAlgorithm;
  readonly kid: string;
  readonly jwk: JWK & { kid: string };
  readonly publicKey: Awaited<ReturnType<typeof generateKeyPair>>['publicKey'];
  sign(claims?: JWTPayload, header?: Record<string, unknown>): Promise<string>;
}

/** A new key, and tokens signed with it: good ones unless told otherwise. */
export async function newSigner(alg: SigningAlgorithm, kid = `${alg}-${randomUUID()}`): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return {
    alg,
    kid,
    publicKey,
    jwk: { ...(await exportJWK(publicKey)), kid, use: 'sig', alg },
    sign: (claims = {}, header = {}) =>
      new SignJWT({ ...goodClaims(), ...claims })
        .setProtectedHeader({ alg, kid, typ: 'at+jwt', ...header })
        .sign(privateKey),
  };
}

export const nowSeconds = () => Math.floor(Date.now() / 1000);

/** Claims of a good access token of somebody new. */
export function goodClaims() {
  return {
    iss: issuer,
    aud: audience,
    sub: randomUUID(),
    sid: randomUUID(),
    tenant_id: randomUUID(),
    jti: randomUUID(),
    roles: ['USER'],
    scope: 'openid',
    iat: nowSeconds(),
    exp: nowSeconds() + 900,
  };
}

/** The token service and the feed as a verifier sees them. Each test says what they answer. */
export function world(keys: readonly UncheckedJwk[]) {
  const state = {
    keys,
    keyFetches: 0,
    down: false,
    fresh: true,
    revoked: new Set<string>(),
    revokedKeys: new Set<string>(),
    roles: new Map<string, readonly string[]>(),
    questions: [] as string[],
    status: async (_sid: string) => ({ active: true, roles: ['USER'] as readonly string[] }),
  };
  const feed: Pick<RevocationFeed, 'fresh' | 'revoked' | 'keyRevoked' | 'rolesOf'> = {
    fresh: () => state.fresh,
    revoked: (sid) => state.revoked.has(sid),
    keyRevoked: (kid) => state.revokedKeys.has(kid),
    rolesOf: (userId) => state.roles.get(userId),
  };
  const open = (options: Partial<VerifierOptions> = {}): Verifier => {
    const verifier = createVerifier({
      keys: async () => {
        state.keyFetches += 1;
        if (state.down) throw new Error('token did not answer');
        return state.keys;
      },
      status: (sid) => {
        state.questions.push(sid);
        return state.status(sid);
      },
      feed,
      issuer,
      audience,
      log: pino({ level: 'silent' }),
      ...options,
    });
    opened.push(verifier);
    return verifier;
  };
  return { state, open };
}

const opened: Verifier[] = [];

/** Closes what the tests opened. */
export function closeVerifiers(): void {
  for (const verifier of opened.splice(0)) verifier.close();
}

const signers = new Map<SigningAlgorithm, Signer>();

/** One key of each algorithm, made once. */
export async function makeSigners(): Promise<void> {
  for (const alg of algorithms) signers.set(alg, await newSigner(alg));
}

export function signerOf(alg: SigningAlgorithm): Signer {
  const signer = signers.get(alg);
  if (signer === undefined) throw new Error(`no ${alg}: makeSigners() first`);
  return signer;
}

export const allSigners = (): Signer[] => [...signers.values()];
export const all = (): UncheckedJwk[] => allSigners().map(({ jwk }) => jwk);
export const outcome = async (verifier: Verifier, token: string) => (await verifier.verify(token)).outcome;
