import type { AccountTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import type { NatsidTransaction } from '../context.ts';

/** Everybody of the account, where a revocation names a key. */
export const EVERYBODY = '*';

/** What a revocation reached. */
export interface Revoked {
  /** JWTs issued until this second (inclusive) are dead; what is issued next must be later. */
  readonly before: number;
  /** When all that it names will have expired; null: never, or nobody can know. */
  readonly until: Date | null;
  /** Credentials of the ledger that were alive. */
  readonly credentials: number;
  /** Of how many keys. */
  readonly users: number;
}

/** How to revoke. */
export interface RevokeOptions {
  readonly reason?: string | undefined;
  /** What the ledger calls what dies: `superseded` when a newer one takes its place. */
  readonly as?: 'revoked' | 'superseded';
}

type OfAccount = Pick<Selectable<AccountTable>, 'id' | 'imported'>;

/**
 * Kills every JWT that was issued until now to a key of the account, or to everybody (`*`). The caller holds the
 * account's lock, which every issue waits for, and issues the account anew.
 *
 * `before` is never less than the `iat` of what is alive: a credential that was issued again within the second of an
 * earlier revocation has an `iat` one second ahead of the clock.
 */
export async function revokeKey(
  tx: NatsidTransaction,
  account: OfAccount,
  publicKey: string,
  { reason, as = 'revoked' }: RevokeOptions = {},
): Promise<Revoked> {
  const alive = await aliveOf(tx, account, publicKey);
  const marked = await mark(tx, account.id, publicKey, as);
  const until = alive.until === null ? null : new Date(alive.until);
  const { rows } = await sql<{ before: number; until: Date | null }>`
    insert into revocation as r (account_id, public_key, before, until, reason)
    values (${account.id}, ${publicKey}, ${alive.before}, ${until}, ${reason?.trim() || null})
    on conflict (account_id, public_key) do update
      set before = greatest(r.before, excluded.before),
        until = case when r.until is null or excluded.until is null then null else greatest(r.until, excluded.until) end,
        reason = excluded.reason, created_at = now()
    returning before, until`.execute(tx);
  const [entry] = rows;
  if (entry === undefined) throw new Error('a revocation was not written');
  if (publicKey === EVERYBODY) await foldSingles(tx, account.id, entry.before);
  return { ...entry, ...marked };
}

/** From when and until when a revocation of what is alive must last. */
async function aliveOf(
  tx: NatsidTransaction,
  account: OfAccount,
  publicKey: string,
): Promise<{ before: number; until: string | null }> {
  const { rows } = await sql<{ before: number; until: string | null }>`
    select greatest(floor(extract(epoch from clock_timestamp()))::bigint, coalesce(max(c.iat), 0)) as before,
      case when ${account.imported}::boolean
        or not (${publicKey}::text = '*' or count(c.id) > 0
          or exists (select from nats_user u where u.account_id = ${account.id} and u.public_key = ${publicKey}))
        or coalesce(bool_or(c.expires_at is null), false)
      then null else coalesce(max(c.expires_at), now())::text end as until
    from credential c
    where c.account_id = ${account.id} and (${publicKey}::text = '*' or c.public_key = ${publicKey})
      and (c.expires_at is null or c.expires_at > now())`.execute(tx);
  const [row] = rows;
  if (row === undefined) throw new Error('an aggregate without a row');
  return row;
}

async function mark(
  tx: NatsidTransaction,
  accountId: string,
  publicKey: string,
  as: 'revoked' | 'superseded',
): Promise<Pick<Revoked, 'credentials' | 'users'>> {
  const column = sql.ref(`${as}_at`);
  const { rows } = await sql<Pick<Revoked, 'credentials' | 'users'>>`
    with marked as (
      update credential set ${column} = now()
      where account_id = ${accountId} and (${publicKey}::text = '*' or public_key = ${publicKey})
        and (expires_at is null or expires_at > now()) and revoked_at is null and superseded_at is null
      returning public_key
    )
    select count(*)::int4 as credentials, count(distinct public_key)::int4 as users from marked`.execute(tx);
  return rows[0] ?? { credentials: 0, users: 0 };
}

/** What `*` kills need not be named a second time: the account's JWT stays small. */
async function foldSingles(tx: NatsidTransaction, accountId: string, before: number): Promise<void> {
  await sql`
    with folded as (
      delete from revocation where account_id = ${accountId} and public_key <> '*' and before <= ${before}
      returning until
    )
    update revocation as r
    set until = case when f.endless or r.until is null then null else greatest(r.until, f.until) end
    from (select bool_or(until is null) as endless, max(until) as until from folded having count(*) > 0) f
    where r.account_id = ${accountId} and r.public_key = '*'`.execute(tx);
}

/**
 * Marks in the ledger what a signing key signed, when the key goes from the account: no server takes it any more.
 * Revokes nothing by itself.
 */
export async function markIssuedBy(
  tx: NatsidTransaction,
  accountId: string,
  issuerKey: string,
): Promise<Pick<Revoked, 'credentials' | 'users'>> {
  const { rows } = await sql<Pick<Revoked, 'credentials' | 'users'>>`
    with marked as (
      update credential set revoked_at = now()
      where account_id = ${accountId} and issuer_key = ${issuerKey}
        and (expires_at is null or expires_at > now()) and revoked_at is null and superseded_at is null
      returning public_key
    )
    select count(*)::int4 as credentials, count(distinct public_key)::int4 as users from marked`.execute(tx);
  return rows[0] ?? { credentials: 0, users: 0 };
}
