import { decodeJwt, JwtError } from '@gatehouse/nats-claims';
import { sql } from 'kysely';
import type { NatsIdentityBase } from '../context.ts';
import { mistrust, type PushTarget } from './push.ts';
import { hexOf, readEnforced, readStored } from './read-back.ts';
import { distrusting, type Presence } from './reconciler-presence.ts';
import { inWindow } from './reconciler-window.ts';
import { KEPT_STATES } from './sync-due.ts';
import { ClusterUnreachable } from './system-client.ts';

/** An account as a full look compares it. */
export interface ComparedAccount {
  readonly id: string;
  readonly publicKey: string;
  readonly name: string;
  readonly iat: number;
  /** Public key that signed the JWT that the database wants. */
  readonly issuer: string;
  /** SHA-256 (hex) of that JWT. */
  readonly hash: string;
  /** Missing: the cluster was registered and nobody said yet that the account is wanted there. */
  readonly wanted: number | undefined;
  readonly proven: number;
}

/** How an account on servers differs from what is wanted. */
export interface Difference {
  readonly account: ComparedAccount;
  readonly kind: 'missing' | 'different' | 'not_enforced' | 'untrusted';
  /** Names of the servers, as far as the protocol says which. */
  readonly servers: readonly string[];
  /** In words. */
  readonly cause: string;
  /** The other JWT, when there is one and it can be read. */
  readonly other: OtherJwt | undefined;
}

/** A JWT that stands where ours should. */
export interface OtherJwt {
  readonly issuer: string;
  readonly iat: number;
  /** Signed by a key that is none of the operator's. */
  readonly stranger: boolean;
}

/** What servers list, by server name. Only servers that can list are in it. */
export type Lists = ReadonlyMap<string, ReadonlySet<string>>;

const PAGE_ACCOUNTS = 500;
const WINDOW = 64;

/** Public keys of the accounts that each server stores, and of those that it has loaded. */
export async function readLists({ client, presence }: PushTarget): Promise<{ stored: Lists; loaded: Lists }> {
  const expect = presence.servers.length;
  const [list, loaded] = await Promise.all([
    presence.resolver === 'memory'
      ? { replies: [] }
      : client.requestAll('$SYS.REQ.CLAIMS.LIST', '', { expect }),
    client.requestAll('$SYS.REQ.SERVER.PING.ACCOUNTZ', '', { expect }),
  ]);
  if (presence.stores > 0 && list.replies.length < presence.stores)
    throw new ClusterUnreachable('not every server said which accounts it stores');
  return {
    stored: new Map(
      list.replies.flatMap(({ server, data }) => (server ? [[server.name, keysOf(data)]] : [])),
    ),
    loaded: new Map(
      loaded.replies.flatMap(({ server, data }) =>
        server ? [[server.name, keysOf((data as { accounts?: unknown } | undefined)?.accounts)]] : [],
      ),
    ),
  };
}

const keysOf = (data: unknown): ReadonlySet<string> =>
  new Set(Array.isArray(data) ? data.filter((key) => typeof key === 'string') : []);

/** The operator's accounts that servers shall have, a page at a time by id: however many there are. */
export async function* readAccounts(
  ctx: NatsIdentityBase,
  cluster: { readonly id: string; readonly operator_id: string },
): AsyncGenerator<ComparedAccount[]> {
  let after = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const { rows } = await sql<{
      id: string;
      public_key: string;
      name: string;
      jwt_iat: number;
      issuer_key: string;
      hash: string;
      wanted: number | null;
      proven: number | null;
    }>`
      select a.id, a.public_key, a.name, a.jwt_iat, a.issuer_key, encode(a.jwt_sha256, 'hex') as hash, s.wanted, s.proven
      from account a left join account_sync s on s.cluster_id = ${cluster.id} and s.account_id = a.id
      where a.operator_id = ${cluster.operator_id} and a.state = any(${[...KEPT_STATES]}) and a.id > ${after}
      order by a.id limit ${PAGE_ACCOUNTS}`.execute(ctx.db);
    if (rows.length > 0)
      yield rows.map((row) => ({
        id: row.id,
        publicKey: row.public_key,
        name: row.name,
        iat: Number(row.jwt_iat),
        issuer: row.issuer_key,
        hash: row.hash,
        wanted: row.wanted === null ? undefined : Number(row.wanted),
        proven: Number(row.proven ?? 0),
      }));
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ACCOUNTS) return;
    after = last.id;
  }
}

/** What a comparison needs beside the accounts. */
export interface Comparison {
  readonly target: () => PushTarget;
  readonly lists: { readonly stored: Lists; readonly loaded: Lists };
  /** Every key of the operator, former ones too. */
  readonly operatorKeys: ReadonlySet<string>;
}

/** Compares a page of accounts with what servers store and enforce. Changes nothing. */
export async function compareAccounts(
  comparison: Comparison,
  accounts: readonly ComparedAccount[],
): Promise<Difference[]> {
  const found: Difference[] = [];
  await inWindow(accounts, WINDOW, async (account) => {
    const difference = await compare(comparison, account);
    if (difference !== undefined) found.push(difference);
  });
  return found;
}

async function compare(
  { target, lists, operatorKeys }: Comparison,
  account: ComparedAccount,
): Promise<Difference | undefined> {
  const { client, presence } = target();
  const missing = [...lists.stored].flatMap(([name, keys]) => (keys.has(account.publicKey) ? [] : [name]));
  // A cache need not have what it was never asked for.
  if (presence.stores === lists.stored.size && missing.length > 0) {
    const cause = `missing on ${missing.join(', ')}`;
    return { account, kind: 'missing', servers: missing, cause, other: undefined };
  }
  const loaded = [...lists.loaded].some(([, keys]) => keys.has(account.publicKey));
  const [stored, enforced] = await Promise.all([
    presence.stores > 0 ? readStored(client, account.publicKey, presence.stores) : undefined,
    loaded ? readEnforced(client, account.publicKey, presence.servers.length) : undefined,
  ]);
  const enforcing = [...(enforced ?? [])].flatMap(([name, jwt]) =>
    jwt !== undefined && hexOf(jwt) !== account.hash ? [{ name, jwt }] : [],
  );
  const others = (stored?.jwts ?? []).filter((jwt) => hexOf(jwt) !== account.hash);
  if (others.length > 0) {
    // LOOKUP does not say who answered; whoever also enforces the other one is known.
    const known = enforcing.map(({ name }) => name);
    const servers =
      others.length === presence.servers.length ? presence.servers.map(({ name }) => name) : known;
    const other = newest(others.map((jwt) => otherOf(jwt.toString('latin1'), operatorKeys)));
    const cause = `${others.length} of ${presence.stores} servers store ${describe(other, account)}`;
    return { account, kind: 'different', servers, cause, other };
  }
  if (enforcing.length === 0) return untrusted(presence, account);
  const other = newest(enforcing.map(({ jwt }) => otherOf(jwt, operatorKeys)));
  const servers = enforcing.map(({ name }) => name);
  const cause = `${servers.join(', ')} enforces ${describe(other, account)}`;
  return { account, kind: 'not_enforced', servers, cause, other };
}

/** A server that was started with an older operator JWT stores what it should, and refuses whoever comes with it. */
function untrusted(presence: Presence, account: ComparedAccount): Difference | undefined {
  const servers = distrusting(presence, account.issuer);
  if (servers.length === 0) return undefined;
  const cause = `${servers.join(', ')} ${mistrust}`;
  return { account, kind: 'untrusted', servers, cause, other: undefined };
}

/** Reads a JWT that is not ours; a text that is none stays undefined. */
export function otherOf(jwt: string, operatorKeys: ReadonlySet<string>): OtherJwt | undefined {
  try {
    const { iss, iat } = decodeJwt(jwt);
    return { issuer: iss, iat, stranger: !operatorKeys.has(iss) };
  } catch (error) {
    if (error instanceof JwtError) return undefined;
    throw error;
  }
}

const newest = (others: readonly (OtherJwt | undefined)[]): OtherJwt | undefined =>
  others
    .filter((other) => other !== undefined)
    .sort((one, two) => two.iat - one.iat)
    .at(0);

function describe(other: OtherJwt | undefined, { iat }: ComparedAccount): string {
  if (other === undefined) return 'none, or one that cannot be read';
  const age =
    other.iat > iat ? 'a newer one' : other.iat < iat ? 'an older one' : 'another one of the same second';
  return other.stranger ? `one that a stranger signed (${other.issuer})` : age;
}

/** Every key that signs or signed for the operator. */
export async function readOperatorKeys(
  ctx: NatsIdentityBase,
  operatorId: string,
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ public_key: string }>`
    select public_key from operator where id = ${operatorId}
    union select public_key from operator_key where operator_id = ${operatorId}`.execute(ctx.db);
  return new Set(rows.map(({ public_key }) => public_key));
}

/** Keys that servers list, of accounts that are nobody's here, and of accounts that were deleted here. */
export interface Unowned {
  readonly foreign: ReadonlyMap<string, readonly string[]>;
  readonly deleted: ReadonlyMap<string, { readonly accountId: string; readonly servers: readonly string[] }>;
}

/** Sorts what servers list and we do not want. */
export async function readUnowned(
  ctx: NatsIdentityBase,
  operatorId: string,
  stored: Lists,
): Promise<Unowned> {
  const keys = [...new Set([...stored.values()].flatMap((some) => [...some]))];
  const foreign = new Map<string, string[]>();
  const deleted = new Map<string, { accountId: string; servers: string[] }>();
  const serversOf = (key: string) => [...stored].flatMap(([name, some]) => (some.has(key) ? [name] : []));
  for (let begin = 0; begin < keys.length; begin += 5_000) {
    const some = keys.slice(begin, begin + 5_000);
    const { rows } = await sql<{ key: string; id: string | null; state: string | null }>`
      select k.key, a.id, a.state from unnest(${some}::text[]) as k(key)
      left join account a on a.public_key = k.key and a.operator_id = ${operatorId}
      where a.id is null or a.state in ('deleting', 'deleted')`.execute(ctx.db);
    for (const { key, id, state } of rows)
      if (id === null) foreign.set(key, serversOf(key));
      // While it is being deleted servers may still have it.
      else if (state === 'deleted') deleted.set(key, { accountId: id, servers: serversOf(key) });
  }
  return { foreign, deleted };
}
