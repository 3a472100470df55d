import type { ResolverKind, ServerState } from '@gatehouse/schema';
import { sql } from 'kysely';
import type { NatsIdentityBase } from '../context.ts';
import type { ClusterServer, SystemClient } from './system-client.ts';
import { readTrust, type ServerTrust } from './system-client-servers.ts';

/** Who is there of a cluster, and what can be said to them. */
export interface Presence {
  readonly servers: readonly ClusterServer[];
  /** By server id: another start, other trust. */
  readonly trust: ReadonlyMap<string, ServerTrust>;
  readonly resolver: ResolverKind;
  /** How many of the servers store JWTs (full resolvers). */
  readonly stores: number;
}

/** Looks who answers. `before` saves what cannot have changed: a server is started anew to trust another operator. */
export async function readPresence(client: SystemClient, before?: Presence): Promise<Presence> {
  const servers = await readServers(client, before?.servers.map(({ id }) => id) ?? []);
  const same = before !== undefined && sameServers(before.servers, servers);
  const trust = new Map(servers.flatMap(({ id }) => pairOf(before?.trust.get(id))));
  if (trust.size < servers.length)
    for (const one of await readTrust(client, servers.length)) trust.set(one.id, one);
  const { resolver, stores } = await readResolver(client, servers.length, trust);
  // An answer that came too late must not lower what has to be proven.
  if (same && before.stores >= stores) return { ...before, servers, trust };
  return { servers, trust, resolver, stores };
}

/** One lost answer is no dead server: somebody who is missed is asked for twice. */
async function readServers(client: SystemClient, known: readonly string[]): Promise<ClusterServer[]> {
  const found = new Map((await client.servers(known)).map((server) => [server.id, server]));
  if (known.some((id) => !found.has(id)))
    for (const server of await client.servers(known)) found.set(server.id, server);
  return [...found.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

const pairOf = (trust: ServerTrust | undefined): [string, ServerTrust][] =>
  trust === undefined ? [] : [[trust.id, trust]];

/** Whether the same processes answer: by id, which is another one after each start. */
export function sameServers(one: readonly ClusterServer[], other: readonly ClusterServer[]): boolean {
  const ids = new Set(one.map(({ id }) => id));
  return one.length === other.length && other.every(({ id }) => ids.has(id));
}

/** Full resolvers answer LOOKUP, caches only LIST, the memory and URL resolvers neither (tried on servers). */
async function readResolver(
  client: SystemClient,
  servers: number,
  trust: ReadonlyMap<string, ServerTrust>,
): Promise<Pick<Presence, 'resolver' | 'stores'>> {
  if (servers === 0) return { resolver: 'unknown', stores: 0 };
  const [system] = [...trust.values()].flatMap(({ systemAccount }) => systemAccount ?? []);
  if (system === undefined) return { resolver: 'unknown', stores: 0 };
  const lookup = await client.requestAll(`$SYS.REQ.ACCOUNT.${system}.CLAIMS.LOOKUP`, '', { expect: servers });
  if (lookup.replies.length > 0) return { resolver: 'full', stores: lookup.replies.length };
  if (!lookup.noResponders) return { resolver: 'unknown', stores: 0 };
  const list = await client.requestAll('$SYS.REQ.CLAIMS.LIST', '', { expect: servers });
  return { resolver: list.replies.length > 0 ? 'cache' : 'memory', stores: 0 };
}

/** Names of servers that would not take what this key signs. */
export const distrusting = ({ servers, trust }: Presence, issuer: string): string[] =>
  servers.filter(({ id }) => trust.get(id)?.issuers.has(issuer) !== true).map(({ name }) => name);

/** Servers whose name is their id, a new one each start, cannot be waited for: nobody with that name comes back. */
const UNNAMED_FORGOTTEN_AFTER = '10 minutes';

/**
 * Writes down who is there; says who was once there and is not. `stateOf` judges those that answer; whoever failed an
 * account that is still not proven is out of step too.
 */
export async function recordPresence(
  ctx: NatsIdentityBase,
  clusterId: string,
  presence: Presence,
  stateOf: (server: ClusterServer) => ServerState,
): Promise<string[]> {
  const rows = presence.servers.map((server) => ({
    name: server.name,
    id: server.id,
    version: server.version,
    state: stateOf(server),
  }));
  const { rows: absent } = await sql<{ server_name: string }>`
    with there as (
      insert into cluster_server (cluster_id, server_name, server_id, version, state)
      select ${clusterId}, name, id, version, case when state = 'in_sync' and exists (
        select from account_sync a
        where a.cluster_id = ${clusterId} and a.proven < a.wanted and a.servers -> name ? 'error') then 'drifted' else state end
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as s(name text, id text, version text, state text)
      on conflict (cluster_id, server_name) do update set
        server_id = excluded.server_id, version = excluded.version, state = excluded.state, seen_at = now()
      returning server_name),
    resolved as (
      update cluster set resolver = ${presence.resolver}
      where id = ${clusterId} and resolver <> ${presence.resolver}),
    forgotten as (
      delete from cluster_server where cluster_id = ${clusterId} and server_name = server_id
        and server_name not in (select name from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as s(name text))
        and seen_at < now() - ${UNNAMED_FORGOTTEN_AFTER}::interval
      returning server_name)
    update cluster_server set state = 'unreachable'
    where cluster_id = ${clusterId}
      and server_name not in (select name from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as s(name text))
      and not (server_name = server_id and seen_at < now() - ${UNNAMED_FORGOTTEN_AFTER}::interval)
    returning server_name`.execute(ctx.db);
  return absent.map(({ server_name }) => server_name).sort();
}
