import { jwtHash } from '@gatehouse/nats-claims';
import { sql } from 'kysely';
import type { NatsIdentityBase } from '../context.ts';

/** Users that one batch holds before it is written whatever the time. */
const BATCH_MAX = 5_000;
/** A row is written again only when it is that much behind: connections that come and go must not wear out the table. */
const COARSE_SECONDS = 10;

interface Sight {
  readonly hash: string | null;
  readonly public_key: string;
  readonly at: string;
}

/**
 * Collects which credentials were seen at work, and writes it down now and then. Of a JWT only its hash is kept, from the
 * first moment on: a bearer's JWT is the credential.
 */
export class LastSeen {
  readonly #ctx: NatsIdentityBase;
  #sights = new Map<string, Sight>();
  #writing: Promise<void> = Promise.resolve();

  constructor(ctx: NatsIdentityBase) {
    this.#ctx = ctx;
  }

  /** A user was connected at that time, with this JWT if the server told. */
  saw(publicKey: unknown, jwt: unknown, at: Date): void {
    if (typeof publicKey !== 'string' || !/^U[A-Z2-7]{55}$/.test(publicKey)) return;
    const hash = typeof jwt === 'string' && jwt !== '' ? jwtHash(jwt).toString('hex') : null;
    this.#sights.set(`${publicKey} ${hash}`, { public_key: publicKey, hash, at: at.toISOString() });
    if (this.#sights.size >= BATCH_MAX) void this.write();
  }

  /** Writes what was collected; one write at a time. */
  write(): Promise<void> {
    const sights = [...this.#sights.values()];
    this.#sights = new Map();
    if (sights.length === 0) return this.#writing;
    this.#writing = this.#writing
      .then(() => record(this.#ctx, sights))
      // What is lost is seen again: by the next connection, or when all of them are asked for.
      .catch((err) => this.#ctx.log.warn({ err }, 'last use of nats credentials could not be written'));
    return this.#writing;
  }
}

async function record({ db }: NatsIdentityBase, sights: readonly Sight[]): Promise<void> {
  await sql`
    with seen as (
      select decode(hash, 'hex') as hash, public_key, least(at, now()) as at
      from jsonb_to_recordset(${JSON.stringify(sights)}::jsonb) as s(hash text, public_key text, at timestamptz)),
    credentials as (
      update credential c set last_seen_at = s.at from seen s
      where c.jwt_sha256 = s.hash and c.public_key = s.public_key
        and (c.last_seen_at is null or c.last_seen_at < s.at - make_interval(secs => ${COARSE_SECONDS})))
    update nats_user u set last_seen_at = s.at
    from (select public_key, max(at) as at from seen group by public_key) s
    where u.public_key = s.public_key
      and (u.last_seen_at is null or u.last_seen_at < s.at - make_interval(secs => ${COARSE_SECONDS}))`.execute(
    db,
  );
}
