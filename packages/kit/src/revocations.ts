import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';

const Id = Type.String({ minLength: 1, maxLength: 100 });
/** Unix seconds. When the last access token that the entry speaks of has expired. */
const Until = Type.Integer({ minimum: 0, maximum: 32_503_680_000 });

/** Sessions that have ended: their access tokens are refused. */
export const SessionsRevoked = Type.Object({
  sids: Type.Readonly(Type.Array(Id, { minItems: 1 })),
  until: Until,
});

/** The roles of a user changed: they replace those of every access token. The highest `version` counts. */
export const RolesChanged = Type.Object({
  user_id: Id,
  roles: Type.Array(Type.String()),
  version: Type.Integer({ minimum: 0 }),
  until: Until,
});

/** Signing keys that were withdrawn at once: whatever they signed is refused, without waiting for the JWKS' max-age. */
export const KeysRevoked = Type.Object({
  kids: Type.Readonly(Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { minItems: 1 })),
  until: Until,
});

/** One message of the revocation stream, subject `revocation.entry`. */
export const RevocationEntry = Type.Union([SessionsRevoked, RolesChanged, KeysRevoked]);
export type RevocationEntry =
  | Readonly<Static<typeof SessionsRevoked>>
  | Readonly<Static<typeof RolesChanged>>
  | Readonly<Static<typeof KeysRevoked>>;

const sessionsRevoked = Compile(SessionsRevoked);
const rolesChanged = Compile(RolesChanged);
const keysRevoked = Compile(KeysRevoked);

/** The entry, or undefined when it is none that this version knows. */
export function readEntry(value: unknown): RevocationEntry | undefined {
  if (sessionsRevoked.Check(value)) return value;
  if (rolesChanged.Check(value)) return value;
  return keysRevoked.Check(value) ? value : undefined;
}

/** Clocks differ, and verifiers allow a token some seconds beyond its expiry: entries stay this much longer. */
const KEPT_LONGER_SECONDS = 60;
const BUCKET_SECONDS = 60;

interface Roles {
  readonly roles: readonly string[];
  readonly version: number;
  until: number;
}

interface Bucket {
  readonly sids: string[];
  readonly users: string[];
}

/**
 * What has been revoked and may still be presented, in memory. A session takes about 130 bytes, a user's roles about
 * 300, until their time is over; entries only ever end by time, so nothing that happens to the bus heals a session.
 */
export class Revocations {
  readonly #sids = new Map<string, number>();
  readonly #roles = new Map<string, Roles>();
  /** Few enough to be looked through when they expire. */
  readonly #kids = new Map<string, number>();
  readonly #buckets = new Map<number, Bucket>();

  /** Sessions, users and keys that entries speak of. */
  get size(): number {
    return this.#sids.size + this.#roles.size + this.#kids.size;
  }

  keyRevoked(kid: string): boolean {
    return this.#kids.has(kid);
  }

  revoked(sid: string): boolean {
    return this.#sids.has(sid);
  }

  rolesOf(userId: string): readonly string[] | undefined {
    return this.#roles.get(userId)?.roles;
  }

  /** Takes an entry in; the same one twice, or in another order, makes no difference. */
  take(entry: RevocationEntry, nowSeconds = Date.now() / 1000): void {
    const until = entry.until + KEPT_LONGER_SECONDS;
    if (until <= nowSeconds) return;
    if ('kids' in entry) {
      for (const kid of entry.kids) this.#kids.set(kid, Math.max(until, this.#kids.get(kid) ?? 0));
      return;
    }
    if ('sids' in entry) {
      const bucket = this.#bucket(until);
      for (const sid of entry.sids) {
        if (until <= (this.#sids.get(sid) ?? 0)) continue;
        this.#sids.set(sid, until);
        bucket.sids.push(sid);
      }
      return;
    }
    const { user_id, roles, version } = entry;
    const known = this.#roles.get(user_id);
    if (known !== undefined && known.version > version) {
      // An older change that comes later: the newer one must outlive the tokens that the older one speaks of.
      this.#keepRoles(user_id, known, Math.max(known.until, until));
    } else {
      this.#keepRoles(
        user_id,
        { roles: Object.freeze([...roles]), version, until: 0 },
        Math.max(known?.until ?? 0, until),
      );
    }
  }

  /** Forgets what no token can be presented for any more. */
  expire(nowSeconds = Date.now() / 1000): void {
    for (const [kid, until] of this.#kids) if (until <= nowSeconds) this.#kids.delete(kid);
    for (const [number, bucket] of this.#buckets) {
      if ((number + 1) * BUCKET_SECONDS > nowSeconds) continue;
      this.#buckets.delete(number);
      // An id stands in an older bucket too when a later entry prolonged it.
      for (const sid of bucket.sids) if ((this.#sids.get(sid) ?? 0) <= nowSeconds) this.#sids.delete(sid);
      for (const user of bucket.users)
        if ((this.#roles.get(user)?.until ?? 0) <= nowSeconds) this.#roles.delete(user);
    }
  }

  #keepRoles(userId: string, state: Roles, until: number): void {
    if (until > state.until) {
      state.until = until;
      this.#bucket(until).users.push(userId);
    }
    this.#roles.set(userId, state);
  }

  #bucket(until: number): Bucket {
    const number = Math.floor(until / BUCKET_SECONDS);
    let bucket = this.#buckets.get(number);
    if (bucket === undefined) {
      bucket = { sids: [], users: [] };
      this.#buckets.set(number, bucket);
    }
    return bucket;
  }
}
