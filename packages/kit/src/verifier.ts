import { hash } from 'node:crypto';
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import type { Log } from './log.ts';
import type { Principal } from './principal.ts';
import type { RevocationFeed } from './revocation-feed.ts';
import { traceIdOf } from './trace.ts';
import { createVerificationKeys, type UncheckedJwk, type VerificationKey } from './verification-keys.ts';

/**
 * What a token is worth at this moment. `revoked`: the signature is good and the session is over. `unavailable`: nobody
 * can say (503, never 401: the caller should keep its token).
 */
export type Verdict =
  | { readonly outcome: 'ok'; readonly principal: Principal }
  | { readonly outcome: 'invalid' | 'revoked' | 'unavailable' };

/** Judges access tokens (contract §4). */
export interface Verifier {
  /** Never rejects. Costs a hash and two look-ups for a token seen before, a signature check (~60 µs) otherwise. */
  verify(token: string, traceparent?: string): Promise<Verdict>;
  close(): void;
}

/** What a verifier needs. */
export interface VerifierOptions {
  /** Fetches the key set (question `verificationKeys`); must settle by itself within a deadline. */
  readonly keys: () => Promise<readonly UncheckedJwk[]>;
  /** Asks the database (question `sessionStatus`) when the feed is stale; must settle within a deadline. */
  readonly status: (
    sid: string,
    kid: string,
    traceparent?: string,
  ) => Promise<{ readonly active: boolean; readonly roles: readonly string[] }>;
  readonly feed: Pick<RevocationFeed, 'fresh' | 'revoked' | 'keyRevoked' | 'rolesOf'>;
  readonly issuer: string;
  readonly audience: string;
  readonly log: Log;
  /** Default 300. */
  readonly jwksMaxAgeSeconds?: number;
  /** Default 10: at most one key fetch in this time for unknown `kid`s. */
  readonly keyCoolDownSeconds?: number;
}

const CLOCK_TOLERANCE_SECONDS = 5;
const TOKEN_CHARS_MAX = 8192;
/** A remembered token takes about half a kilobyte: 2 MB when full. */
const REMEMBERED_MAX = 4096;
/** Longer than this ago a question may have been answered before a revocation that must count by now. */
const QUESTION_SHARED_MS = 200;

/** What cryptography says of a token. */
interface Authentic {
  readonly principal: Principal;
  readonly kid: string;
}

type Failure = { readonly outcome: 'invalid' | 'unavailable' };
const invalid: Failure = { outcome: 'invalid' };
const unavailable: Failure = { outcome: 'unavailable' };

/**
 * A verifier of access tokens. What it remembers of a token is the result of cryptography, never of revocation: every
 * call asks the feed, and a stale feed asks the database.
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { feed, log } = options;
  const keys = createVerificationKeys({
    fetch: options.keys,
    maxAgeMs: (options.jwksMaxAgeSeconds ?? 300) * 1000,
    coolDownMs: (options.keyCoolDownSeconds ?? 10) * 1000,
    log,
  });
  // By hash, not by the token itself: as fast (1.0 against 1.5 µs), half the memory, and no tokens lie about.
  const remembered = new LRUCache<string, Authentic & { readonly generation: number }>({
    max: REMEMBERED_MAX,
  });
  const ask = shareQuestions(options.status);

  /** Who signed claims name, whatever has become of them since. */
  async function authenticate(token: string, traceparent: string | undefined): Promise<Authentic | Failure> {
    if (keys.generation() === undefined && !(await keys.ready())) return unavailable;
    const digest = hash('sha256', token, 'base64');
    const known = remembered.get(digest);
    // A change of the key set forgets everything: the key of this token may be the one that left.
    if (known !== undefined && known.generation === keys.generation() && !expired(known.principal)) {
      return known;
    }
    // Read before the key is found: a set that changes from here on makes this memory worthless, not wrong.
    const generation = keys.generation();
    const kid = keyIdOf(token);
    if (kid === undefined) return invalid;
    const key = await findKey(kid);
    if ('outcome' in key) return key;
    const claims = await claimsOf(token, key, { ...options, traceparent });
    const principal = claims && principalOf(claims);
    if (principal === undefined) return invalid;
    if (generation !== undefined) remembered.set(digest, { principal, kid, generation });
    return { principal, kid };
  }

  async function findKey(kid: string): Promise<VerificationKey | Failure> {
    const found = await keys.find(kid);
    if (found === 'missing') return invalid;
    return found === 'unavailable' ? unavailable : found;
  }

  async function stillAlive(
    { principal, kid }: Authentic,
    traceparent: string | undefined,
  ): Promise<Verdict> {
    const { sessionId } = principal;
    // What was revoked stays revoked, however stale the feed.
    if (feed.revoked(sessionId) || feed.keyRevoked(kid)) return { outcome: 'revoked' };
    if (feed.fresh()) {
      const roles = feed.rolesOf(principal.userId);
      return { outcome: 'ok', principal: roles === undefined ? principal : { ...principal, roles } };
    }
    try {
      const { active, roles } = await ask(sessionId, kid, traceparent);
      if (!active || feed.revoked(sessionId)) return { outcome: 'revoked' };
      return { outcome: 'ok', principal: { ...principal, roles } };
    } catch (err) {
      log.debug({ err, trace_id: traceIdOf(traceparent) }, 'session status cannot be asked');
      return unavailable;
    }
  }

  return {
    async verify(token, traceparent) {
      if (token.length > TOKEN_CHARS_MAX) return invalid;
      const who = await authenticate(token, traceparent);
      return 'outcome' in who ? who : stillAlive(who, traceparent);
    },
    close() {
      keys.close();
      remembered.clear();
    },
  };
}

// jose reads over spaces and the other base64 alphabet; one token must have one spelling.
const compactForm = /^[\w-]+\.[\w-]+\.[\w-]+$/;

function keyIdOf(token: string): string | undefined {
  if (!compactForm.test(token)) return undefined;
  try {
    const { kid } = decodeProtectedHeader(token);
    return typeof kid === 'string' ? kid : undefined;
  } catch {
    return undefined;
  }
}

// jku, x5u and jwk of the header are never looked at: the key comes from our own set or not at all.
async function claimsOf(
  token: string,
  { alg, key }: VerificationKey,
  { issuer, audience, log, traceparent }: VerifierOptions & { readonly traceparent: string | undefined },
): Promise<JWTPayload | undefined> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [alg],
      typ: 'at+jwt',
      issuer,
      audience,
      requiredClaims: ['exp', 'iat', 'sub', 'sid', 'tenant_id', 'jti', 'roles'],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
    });
    return payload;
  } catch (err) {
    // jose names what the caller did wrong; anything else is ours, and still no reason to let the token pass.
    if (!(err instanceof errors.JOSEError))
      log.error({ err, trace_id: traceIdOf(traceparent) }, 'access token cannot be checked');
    return undefined;
  }
}

function principalOf(claims: JWTPayload): Principal | undefined {
  const { sub, jti, iat, exp, sid, tenant_id, roles, scope = '' } = claims;
  if (!isText(sub) || !isText(jti) || !isText(sid) || !isText(tenant_id)) return undefined;
  if (typeof iat !== 'number' || typeof exp !== 'number' || typeof scope !== 'string') return undefined;
  if (!Array.isArray(roles) || !roles.every(isText)) return undefined;
  // Nobody signs in the future; whoever does would outlive the entries of the revocation feed.
  if (iat > nowSeconds() + CLOCK_TOLERANCE_SECONDS) return undefined;
  return Object.freeze({
    userId: sub,
    tenantId: tenant_id,
    sessionId: sid,
    roles: Object.freeze([...roles]),
    scope,
    tokenId: jti,
    issuedAt: iat,
    expiresAt: exp,
  });
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const nowSeconds = () => Date.now() / 1000;
const expired = ({ expiresAt }: Principal) => expiresAt <= nowSeconds() - CLOCK_TOLERANCE_SECONDS;

/** Requests of one session that come together share one question; nothing is kept after its answer. */
function shareQuestions(status: VerifierOptions['status']): VerifierOptions['status'] {
  type Question = { readonly askedAt: number; readonly answer: ReturnType<VerifierOptions['status']> };
  const open = new Map<string, Question>();
  return async (sid, kid, traceparent) => {
    const about = `${sid} ${kid}`;
    const asked = open.get(about);
    if (asked !== undefined && performance.now() - asked.askedAt < QUESTION_SHARED_MS) return asked.answer;
    const mine: Question = { askedAt: performance.now(), answer: status(sid, kid, traceparent) };
    open.set(about, mine);
    try {
      return await mine.answer;
    } finally {
      if (open.get(about) === mine) open.delete(about);
    }
  };
}
