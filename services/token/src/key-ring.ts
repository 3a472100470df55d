import { createHash, createPrivateKey } from 'node:crypto';
import type { Context, Log } from '@gatehouse/kit';
import type { SigningKeyState, TokenDatabase } from '@gatehouse/schema';
import { sql } from 'kysely';
import { environmentKeys } from './environment-keys.ts';
import type { TokenConfig } from './settings.ts';
import { type PublicJwk, type Signer, signerOf } from './signing-key.ts';

/** The key set as it is served. */
export interface RenderedJwks {
  readonly keys: readonly PublicJwk[];
  readonly body: Buffer;
  /** Strong: the same text, the same bytes. */
  readonly etag: string;
}

/** The keys as this instance knows them; asking costs no database trip. */
export interface KeyRing {
  readonly source: 'environment' | 'managed';
  /** The key that signs now. @throws Error before the first load. */
  signer(): Signer;
  jwks(): RenderedJwks;
  /** Keys of the environment, which no row tells of. */
  readonly environment: readonly PublicJwk[];
  /** Reads the managed keys again: every few seconds, and after changes of one's own. */
  reload(): Promise<void>;
}

const DAY_SECONDS = 86_400;

/** How often every instance reads the keys, seconds. */
export const RELOAD_SECONDS = 4;

/**
 * From the insert of a key to the moment when every instance publishes it: two reloads and some. A verifier may have
 * fetched the old set until then, and keeps it for the JWKS' max age; only after both may the key sign.
 */
export const PROPAGATION_SECONDS = 3 * RELOAD_SECONDS;

interface Row {
  readonly kid: string;
  readonly state: SigningKeyState;
  readonly public_jwk: unknown;
  readonly private_sealed: string | null;
  readonly age: number | null;
  /** When it began to sign, seconds since 1970. */
  readonly activated: number | null;
}

/** The key ring of one instance; empty until the first reload. */
export function openKeyRing(ctx: Context<TokenConfig, TokenDatabase>): KeyRing {
  const environment = environmentKeys(ctx.config);
  const source = environment.signer === undefined ? 'managed' : 'environment';
  const open = signerCache(ctx);
  let current = environment.signer;
  let rendered = render(environment.published);

  return {
    source,
    environment: environment.published,
    signer() {
      if (current === undefined) throw new Error('no signing key is loaded');
      return current;
    },
    jwks: () => rendered,
    async reload() {
      const rows = await readRows(ctx);
      const known = new Set(environment.published.map(({ kid }) => kid));
      const managed = rows.map((row) => row.public_jwk as PublicJwk).filter(({ kid }) => !known.has(kid));
      const next = render([...environment.published, ...managed]);
      if (source === 'managed') current = firstThatOpens(rows, open, ctx.log);
      // The same object while nothing changes, so that the ETag and the buffer stay.
      if (next.etag !== rendered.etag) rendered = next;
      measure(ctx, rows, { source, fromEnvironment: environment.published.length });
    },
  };
}

// Current first; without one (an emergency, or instances with different settings side by side) the key that signed last.
function readRows(ctx: Context<TokenConfig, TokenDatabase>): Promise<Row[]> {
  return ctx.db
    .selectFrom('signing_key')
    .select(['kid', 'state', 'public_jwk', 'private_sealed'])
    .select(sql<number | null>`extract(epoch from now() - activated_at)::float8`.as('age'))
    .select(sql<number | null>`extract(epoch from activated_at)::float8`.as('activated'))
    .where('state', '<>', 'retired')
    .orderBy(sql`array_position(array['current', 'previous', 'next'], state)`)
    .orderBy(sql`activated_at desc nulls last`)
    .orderBy('kid')
    .execute();
}

function signerCache(ctx: Context<TokenConfig, TokenDatabase>): (row: Row) => Signer {
  const opened = new Map<string, Signer>();
  return ({ kid, private_sealed }) => {
    const known = opened.get(kid);
    if (known !== undefined) return known;
    if (private_sealed === null) throw new Error('the private half of the key is not there');
    const der = ctx.secrets.keyring.open(private_sealed, sealedFor(kid));
    const signer = signerOf(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }), kid);
    opened.set(kid, signer);
    return signer;
  };
}

/** What the private half of a key is sealed for: it opens as this key and as nothing else. */
export const sealedFor = (kid: string) => ({ kind: 'signing_key', recordId: kid, publicId: kid });

// An instance whose encryption ring lacks the newest key goes on with the last one, which verifies for as long.
function firstThatOpens(rows: readonly Row[], open: (row: Row) => Signer, log: Log): Signer {
  let fault: unknown = new Error('there is no signing key');
  for (const row of rows) {
    if (row.state === 'next') continue;
    try {
      return open(row);
    } catch (err) {
      log.error({ err, kid: row.kid }, 'signing key cannot be opened');
      fault = err;
    }
  }
  throw fault;
}

function render(keys: readonly PublicJwk[]): RenderedJwks {
  const body = Buffer.from(JSON.stringify({ keys }));
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`;
  return { keys, body, etag };
}

function measure(
  ctx: Context<TokenConfig, TokenDatabase>,
  rows: readonly Row[],
  { source, fromEnvironment }: { source: KeyRing['source']; fromEnvironment: number },
): void {
  const { signingKeys, signingKeyAge, signingKeyActivated, signingKeyRotationDue } = ctx.metrics;
  for (const state of ['next', 'current', 'previous'] as const)
    signingKeys.set({ state }, rows.filter((row) => row.state === state).length);
  signingKeys.set({ state: 'environment' }, fromEnvironment);
  const current = rows.find((row) => row.state === 'current');
  // Managed keys that rest beside the environment's neither sign nor rotate.
  if (source === 'environment' || current?.age == null || current.activated == null) return;
  signingKeyAge.set(current.age);
  signingKeyActivated.set(current.activated);
  signingKeyRotationDue.set(current.activated + ctx.config.KEY_ROTATION_DAYS * DAY_SECONDS);
}
