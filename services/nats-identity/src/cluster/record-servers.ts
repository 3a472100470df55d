import type { JsonObject, ServerState } from '@gatehouse/schema';
import { sql } from 'kysely';
import type { NatsidTransaction } from '../context.ts';
import type { ServerFacts } from './look-at-servers.ts';

/**
 * Writes down what servers said of themselves. What was seen once is known until it is forgotten by hand: it does not
 * drop out by being silent. `returned`: some are new, back, or were started again.
 */
export async function recordServers(
  tx: NatsidTransaction,
  clusterId: string,
  servers: readonly ServerFacts[],
): Promise<{ readonly returned: boolean; readonly known: number }> {
  const before = await tx
    .selectFrom('cluster_server')
    .select(['server_name', 'server_id', 'state'])
    .where('cluster_id', '=', clusterId)
    .execute();
  let returned = false;
  const names = new Set<string>();
  for (const server of servers) {
    if (names.has(server.name)) continue;
    names.add(server.name);
    const was = before.find(({ server_name }) => server_name === server.name);
    if (was === undefined || was.server_id !== server.id || was.state === 'unreachable') returned = true;
    await recordServer(tx, clusterId, server, stateOf(was?.state));
  }
  await tx
    .updateTable('cluster_server')
    .set({ state: 'unreachable' })
    .where('cluster_id', '=', clusterId)
    .$if(names.size > 0, (some) => some.where('server_name', 'not in', [...names]))
    .where('state', '<>', 'unreachable')
    .execute();
  const silent = before.filter(({ server_name }) => !names.has(server_name)).length;
  return { returned, known: names.size + silent };
}

/** Whether what it holds is right is what a sync finds out; this only says that it is there again. */
const stateOf = (was: ServerState | undefined): ServerState =>
  was === undefined || was === 'unreachable' ? 'in_sync' : was;

async function recordServer(
  tx: NatsidTransaction,
  clusterId: string,
  { name, id, version, complaint, trust, varz }: ServerFacts,
  state: ServerState,
): Promise<void> {
  const health: JsonObject = {
    sound: complaint === undefined ? null : complaint === null,
    complaint: complaint ?? null,
    // What the gate of a new operator key goes by.
    issuers: trust === undefined ? [] : [...trust.issuers],
    operators: trust === undefined ? [] : trust.operators.map((one) => ({ ...one })),
    system_account: trust?.systemAccount ?? null,
    ...(varz !== undefined && {
      certificate_ends_at: varz.certificateEndsAt?.toISOString() ?? null,
      jetstream: varz.jetstream,
      slow_consumers: varz.slowConsumers,
      connections: varz.connections,
      started_at: varz.startedAt,
      clock_skew_ms: varz.clockSkewMs,
      max_payload: varz.maxPayload,
    }),
  };
  await tx
    .insertInto('cluster_server')
    .values({ cluster_id: clusterId, server_name: name, server_id: id, version, state, health })
    .onConflict((oc) =>
      oc.columns(['cluster_id', 'server_name']).doUpdateSet({
        server_id: id,
        version,
        state,
        health: JSON.stringify(health) as never,
        seen_at: sql<Date>`now()`,
      }),
    )
    .execute();
}
