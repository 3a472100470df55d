import type { NatsIdentityBase } from '../context.ts';
import type { PushTarget } from './push.ts';
import { distrusting, readPresence } from './reconciler-presence.ts';
import {
  compareAccounts,
  type Difference,
  readAccounts,
  readLists,
  readOperatorKeys,
  readUnowned,
} from './sync-compare.ts';
import { openSystemClient } from './system-client.ts';

/** Of each kind that many are named; all are counted. */
const NAMED_MAX = 1_000;

/** An account that is not on servers as the database has it. */
export interface DiffEntry {
  readonly account_id: string;
  readonly name: string;
  readonly public_key: string;
  /** Names of the servers, as far as the protocol says which. */
  readonly servers: readonly string[];
  readonly cause: string;
  /** Who signed the other JWT. */
  readonly issuer: string | null;
}

/** Database, what servers store, and what they enforce, beside each other. */
export interface ClusterDiff {
  readonly resolver: string;
  readonly in_sync: boolean;
  /** Accounts that were compared. */
  readonly accounts: number;
  readonly counts: {
    readonly equal: number;
    readonly pending: number;
    readonly missing: number;
    readonly different: number;
    readonly foreign: number;
    readonly returned: number;
  };
  readonly missing: readonly DiffEntry[];
  readonly different: readonly DiffEntry[];
  /** On servers, and nobody's here. */
  readonly foreign: readonly { readonly public_key: string; readonly servers: readonly string[] }[];
  /** Known servers that do not answer. */
  readonly unreachable: readonly string[];
  /** Servers that do not trust a key that accounts are signed with. */
  readonly untrusted: readonly string[];
}

/**
 * Compares a cluster with the database and changes nothing, here or there. Any process may ask.
 * @throws ClusterUnreachable, NotPermitted
 */
export async function diffCluster(
  ctx: NatsIdentityBase,
  cluster: { readonly id: string; readonly operator_id: string },
): Promise<ClusterDiff> {
  const client = await openSystemClient(ctx, cluster.id, 'push');
  try {
    const presence = await readPresence(client);
    const target: PushTarget = { client, presence, absent: [], mayPush: () => false };
    return await diff(ctx, cluster, target);
  } finally {
    await client.close();
  }
}

async function diff(
  ctx: NatsIdentityBase,
  cluster: { readonly id: string; readonly operator_id: string },
  target: PushTarget,
): Promise<ClusterDiff> {
  const { presence } = target;
  const lists = await readLists(target);
  const operatorKeys = await readOperatorKeys(ctx, cluster.operator_id);
  const missing: DiffEntry[] = [];
  const different: DiffEntry[] = [];
  const counts = { equal: 0, pending: 0, missing: 0, different: 0, foreign: 0, returned: 0 };
  let accounts = 0;
  for await (const page of readAccounts(ctx, cluster)) {
    accounts += page.length;
    const found = await compareAccounts({ target: () => target, lists, operatorKeys }, page);
    counts.equal += page.length - found.length;
    for (const difference of found) {
      const pending = difference.account.wanted !== difference.account.proven;
      const kind = difference.kind === 'missing' ? 'missing' : 'different';
      counts[kind] += 1;
      if (pending) counts.pending += 1;
      const named = kind === 'missing' ? missing : different;
      if (named.length < NAMED_MAX) named.push(entryOf(difference, pending));
    }
  }
  const { foreign, deleted } = await readUnowned(ctx, cluster.operator_id, lists.stored);
  counts.foreign = foreign.size;
  counts.returned = deleted.size;
  const unreachable = await absentOf(
    ctx,
    cluster.id,
    presence.servers.map(({ name }) => name),
  );
  const untrusted = await untrustedOf(ctx, cluster.operator_id, target);
  return {
    resolver: presence.resolver,
    // Without a store nothing can be said.
    in_sync:
      presence.stores > 0 &&
      counts.missing + counts.different + counts.returned + unreachable.length + untrusted.length === 0,
    accounts,
    counts,
    missing,
    different,
    foreign: [...foreign].slice(0, NAMED_MAX).map(([public_key, servers]) => ({ public_key, servers })),
    unreachable,
    untrusted,
  };
}

const entryOf = ({ account, servers, cause, other }: Difference, pending: boolean): DiffEntry => ({
  account_id: account.id,
  name: account.name,
  public_key: account.publicKey,
  servers,
  cause: pending ? `${cause}; it is on its way` : cause,
  issuer: other?.issuer ?? null,
});

async function absentOf(
  ctx: NatsIdentityBase,
  clusterId: string,
  present: readonly string[],
): Promise<string[]> {
  const known = await ctx.db
    .selectFrom('cluster_server')
    .select('server_name')
    .where('cluster_id', '=', clusterId)
    .orderBy('server_name')
    .execute();
  return known.map(({ server_name }) => server_name).filter((name) => !present.includes(name));
}

/** Servers that would refuse some account as it is signed now. */
async function untrustedOf(
  ctx: NatsIdentityBase,
  operatorId: string,
  { presence }: PushTarget,
): Promise<string[]> {
  const issuers = await ctx.db
    .selectFrom('account')
    .select('issuer_key')
    .distinct()
    .where('operator_id', '=', operatorId)
    .where('state', '<>', 'deleted')
    .execute();
  return [...new Set(issuers.flatMap(({ issuer_key }) => distrusting(presence, issuer_key)))].sort();
}
