import { setTimeout as delay } from 'node:timers/promises';
import type { SystemClient, SystemReply } from '../cluster/system-client.ts';
import type { NatsIdentityContext } from '../context.ts';
import { closeClusters, openClusters } from './reach-clusters.ts';

/** Names of an account's streams in one cluster; `unknown`: some server did not say. */
export type Streams = readonly string[] | 'unknown';

/** Asks every server for the streams of an account. What one of them holds is there, whatever the others say. */
export async function streamsOf(client: SystemClient, publicKey: string, servers: number): Promise<Streams> {
  const { replies } = await client.requestAll(
    `$SYS.REQ.ACCOUNT.${publicKey}.JSZ`,
    // Without the state of consumers, and each stream from one server when the server is new enough to know that.
    JSON.stringify({ streams: true }),
    { expect: servers },
  );
  const names = new Set<string>();
  let silent = replies.length < servers;
  for (const reply of replies) {
    const found = streamsIn(reply);
    if (found === 'unknown') silent = true;
    else for (const name of found) names.add(name);
  }
  // Some streams are enough to know that it is not empty; none is known only when all have said so.
  return names.size === 0 && silent ? 'unknown' : [...names];
}

// What a server that never loaded the account, or gives it no JetStream, says.
const noStreams = /not found|not jetstream enabled|jetstream not enabled/i;

function streamsIn({ data, error }: SystemReply): Streams {
  if (error !== undefined) return noStreams.test(error) ? [] : 'unknown';
  const { stream_detail: details } = (data ?? {}) as { stream_detail?: unknown };
  if (!Array.isArray(details)) return [];
  return details.map((one: { name?: unknown }) => String(one.name));
}

/** What is known of an account's streams on all clusters of its operator. */
export interface AccountStreams {
  /** How many were seen. */
  readonly streams: number;
  /** Whether every cluster was asked and answered: only then is 0 none. */
  readonly certain: boolean;
}

/** Somebody waits for the answer; a cluster that is away must not make a locked account wait. */
const WAIT_MS = 3_000;

/** Counts an account's streams now, for whoever is about to delete it. Waits some seconds at most. */
export async function hasStreams(
  ctx: NatsIdentityContext,
  account: { readonly operator_id: string; readonly public_key: string },
): Promise<AccountStreams> {
  const counting = countStreams(ctx, account);
  // It goes on and closes its connections when nobody waits any more.
  counting.catch(() => {});
  return Promise.race([counting, delay(WAIT_MS, { streams: 0, certain: false }, { ref: false })]);
}

async function countStreams(
  ctx: NatsIdentityContext,
  account: { readonly operator_id: string; readonly public_key: string },
): Promise<AccountStreams> {
  const reached = await openClusters(ctx, account.operator_id);
  try {
    const found = await Promise.all(
      reached.map(async ({ client, servers, fault }): Promise<Streams> => {
        if (client === undefined) return 'unknown';
        const streams = await streamsOf(client, account.public_key, servers.length).catch(
          (): Streams => 'unknown',
        );
        return streams.length === 0 && fault !== undefined ? 'unknown' : streams;
      }),
    );
    return {
      streams: found.reduce((sum, one) => sum + (one === 'unknown' ? 0 : one.length), 0),
      certain: !found.includes('unknown'),
    };
  } finally {
    await closeClusters(reached);
  }
}
