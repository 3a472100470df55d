import { importJWK, type JWK } from 'jose';
import type { Log } from './log.ts';

/** What an access token may be signed with. */
export type SigningAlgorithm = 'RS256' | 'ES256' | 'EdDSA';

/** A public key, bound to the one algorithm that its type stands for. */
export interface VerificationKey {
  readonly alg: SigningAlgorithm;
  readonly key: Awaited<ReturnType<typeof importJWK>>;
}

/** A JSON Web Key as it came over the wire, not yet believed. */
export type UncheckedJwk = Readonly<Record<string, unknown>>;

/** The key set of the token service as this process knows it. */
export interface VerificationKeys {
  /** Changes whenever the set does; undefined while there is no set that may be used without waiting. */
  generation(): number | undefined;
  /** Waits for a usable set; false when there is none to be had. */
  ready(): Promise<boolean>;
  /** `missing`: the token service does not publish it; `unavailable`: nobody can say. */
  find(kid: string): VerificationKey | Promise<VerificationKey | 'missing' | 'unavailable'>;
  close(): void;
}

/** Times in milliseconds. */
export interface VerificationKeysOptions {
  readonly fetch: () => Promise<readonly UncheckedJwk[]>;
  readonly maxAgeMs: number;
  /** At most one fetch in this time, however many unknown `kid`s come. */
  readonly coolDownMs: number;
  readonly log: Log;
}

/** Before the first key set nothing can be verified, so it is tried for more often than a cool-down. */
const FIRST_FETCH_SPACING_MS = 1000;
/** Share of the max age after which the set is fetched anew. */
const REFRESH_AT = 0.8;
const RSA_BITS_MIN = 2048;

interface KeySet {
  readonly keys: ReadonlyMap<string, VerificationKey>;
  /** When the fetch began (monotonic): what the answer says was true then, not when it arrived. */
  readonly askedAt: number;
  readonly fingerprint: string;
}

/**
 * Keeps the key set younger than its max age by fetching it in the background. While the token service cannot be
 * reached the old set serves for at most one max age more; a key that left the set is gone with the next fetch.
 */
export function createVerificationKeys(options: VerificationKeysOptions): VerificationKeys {
  const { maxAgeMs, coolDownMs, log } = options;
  let set: KeySet | undefined;
  let generation = 0;
  let failing = false;
  let lastAskedAt = Number.NEGATIVE_INFINITY;
  let inFlight: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  async function load(): Promise<void> {
    const askedAt = performance.now();
    lastAskedAt = askedAt;
    try {
      const { keys, fingerprint } = await importKeys(await options.fetch(), log);
      if (fingerprint !== set?.fingerprint) generation += 1;
      set = { keys, askedAt, fingerprint };
      if (failing) log.info('verification keys can be fetched again');
      failing = false;
    } catch (err) {
      if (!failing)
        log.warn({ err }, 'verification keys cannot be fetched, the known ones serve for a while');
      failing = true;
    }
    schedule(failing ? coolDownMs : maxAgeMs * REFRESH_AT);
  }

  function fetchOnce(): Promise<void> {
    inFlight ??= load().finally(() => {
      inFlight = undefined;
    });
    return inFlight;
  }

  function schedule(delayMs: number): void {
    clearTimeout(timer);
    if (closed) return;
    timer = setTimeout(() => void fetchOnce(), delayMs).unref();
  }

  function usable(): boolean {
    if (set === undefined) return false;
    const age = performance.now() - set.askedAt;
    // Past its max age a set serves only after an attempt to replace it has failed.
    return age < maxAgeMs || (failing && age < 2 * maxAgeMs);
  }

  async function renew(spacingMs: number): Promise<void> {
    if (inFlight !== undefined || performance.now() - lastAskedAt >= spacingMs) await fetchOnce();
  }

  return {
    generation: () => (usable() ? generation : undefined),
    async ready() {
      if (!usable()) await renew(set === undefined ? FIRST_FETCH_SPACING_MS : coolDownMs);
      return usable();
    },
    find(kid) {
      const known = set?.keys.get(kid);
      if (known !== undefined) return known;
      return renew(coolDownMs).then(() => set?.keys.get(kid) ?? (failing ? 'unavailable' : 'missing'));
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

async function importKeys(jwks: readonly UncheckedJwk[], log: Log) {
  const keys = new Map<string, VerificationKey>();
  const seen: string[] = [];
  for (const jwk of jwks) {
    const bare = publicPart(jwk);
    if (bare === undefined) {
      log.error({ kid: jwk.kid }, 'key of the key set cannot verify access tokens, ignored');
      continue;
    }
    try {
      const key = await importJWK(bare.jwk, bare.alg);
      if (tooShort(key)) throw new Error(`an RSA key needs at least ${RSA_BITS_MIN} bits`);
      keys.set(bare.kid, { alg: bare.alg, key });
      seen.push(JSON.stringify([bare.kid, bare.jwk]));
    } catch (err) {
      log.error({ err, kid: bare.kid }, 'key of the key set cannot be read, ignored');
    }
  }
  return { keys, fingerprint: seen.sort().join('\n') };
}

// RFC 7518 §3.3. Said once here, because jose says it again and again, as a TypeError for each token.
function tooShort(key: VerificationKey['key']): boolean {
  if (key instanceof Uint8Array) return true;
  const { modulusLength } = key.algorithm as { modulusLength?: number };
  return modulusLength !== undefined && modulusLength < RSA_BITS_MIN;
}

/** The members that make the key, and no others; undefined unless it is RSA, P-256 or Ed25519 for signatures. */
function publicPart(jwk: UncheckedJwk): { kid: string; alg: SigningAlgorithm; jwk: JWK } | undefined {
  const { kid, kty, crv, use, alg: stated } = jwk;
  if (typeof kid !== 'string' || (use !== undefined && use !== 'sig')) return undefined;
  const form = forms.find((one) => one.kty === kty && one.crv === crv);
  if (form === undefined || (stated !== undefined && stated !== form.alg)) return undefined;
  const members = form.members.map((name) => [name, jwk[name]]);
  return { kid, alg: form.alg, jwk: { kty: form.kty, ...Object.fromEntries(members) } };
}

const forms: readonly {
  readonly alg: SigningAlgorithm;
  readonly kty: 'RSA' | 'EC' | 'OKP';
  readonly crv: string | undefined;
  readonly members: readonly string[];
}[] = [
  { alg: 'RS256', kty: 'RSA', crv: undefined, members: ['n', 'e'] },
  { alg: 'ES256', kty: 'EC', crv: 'P-256', members: ['crv', 'x', 'y'] },
  { alg: 'EdDSA', kty: 'OKP', crv: 'Ed25519', members: ['crv', 'x'] },
];
