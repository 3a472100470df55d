import type { Pool, PoolClient } from 'pg';
import type { Metrics } from './metrics.ts';
import type { Outgoing, Publisher, PublishOutcome } from './publish.ts';
import { inBatchSpan } from './trace.ts';

/** What one batch came to. */
export interface BatchResult {
  /** Rows found, published or not. */
  readonly found: number;
  readonly published: number;
  readonly missing: boolean;
  readonly refusal: string | undefined;
}

/** What a batch needs to know. */
export interface BatchOptions {
  readonly pool: Pool;
  readonly publisher: Publisher;
  readonly metrics: Metrics;
  /** CloudEvents source. */
  readonly source: string;
  readonly lane: number;
  readonly limit: number;
  /** Rows that failed this often or more are left out (false) or are the only ones taken (true). */
  readonly stragglers: boolean;
}

/**
 * A row that the server refuses again and again (too large for it, say) must not stand before all others for ever:
 * from here on it is tried only now and then.
 */
const ATTEMPTS_MAX = 20;
/** A transaction is open while the answers are awaited: not longer than this. */
const PUBLISH_DEADLINE_MS = 4_000;

// Postgres renders the whole message: it has a process of its own, this event loop answers requests.
// CR and LF would begin a header of their own. The payload's common fields win over fields of the same name.
const pickText = (stragglers: boolean): string => `
select subject,
  concat(E'NATS/1.0\\r\\nNats-Msg-Id: ', id, E'\\r\\nce-specversion: 1.0\\r\\nce-id: ', id,
    E'\\r\\nce-type: ', type, E'\\r\\nce-source: ', $3::text, E'\\r\\nce-time: ', moment,
    E'\\r\\nce-subject: ', translate(aggregate, E'\\r\\n', ''), E'\\r\\nce-sequence: ', sequence,
    E'\\r\\nce-tenantid: ' || tenant_id, E'\\r\\nce-traceparent: ' || parent, E'\\r\\ntraceparent: ' || parent,
    E'\\r\\ncontent-type: application/json\\r\\n\\r\\n'),
  data || jsonb_build_object('tenant_id', tenant_id, 'trace_id', substr(parent, 4, 32), 'occurred_at', moment)
from outbox,
  lateral (select to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as moment,
    translate(traceparent, E'\\r\\n', '') as parent) as rendered
where published_at is null and lane = $1 and attempts ${stragglers ? '>=' : '<'} ${ATTEMPTS_MAX}
order by id limit $2 for update of outbox skip locked`;

const pick = { name: 'outbox_pick', text: pickText(false) };
const pickStragglers = { name: 'outbox_pick_stragglers', text: pickText(true) };
const mark = {
  name: 'outbox_mark',
  text: 'update outbox set published_at = now() where id = any($1::uuid[])',
};
const countAttempt = {
  name: 'outbox_attempt',
  text: 'update outbox set attempts = attempts + 1 where id = any($1::uuid[])',
};

// A mark that is lost with the server costs one more publishing, which changes nothing; so it need not wait for the disk.
const BEGIN = 'begin; set local synchronous_commit to off';

/**
 * Takes rows of a lane (skipping those that another instance holds), publishes them, and marks those that the stream
 * has acknowledged: in this order, so that a crash anywhere publishes twice rather than never.
 * @throws when Postgres fails; nothing is marked then.
 */
export async function publishBatch(options: BatchOptions): Promise<BatchResult> {
  const client = await options.pool.connect();
  let broken: unknown = true;
  try {
    await client.query(BEGIN);
    const messages = await takeRows(client, options);
    const outcome = messages.length === 0 ? undefined : await publishTraced(messages, options);
    if (outcome !== undefined) await markRows(client, messages, outcome);
    await client.query('commit');
    broken = undefined;
    if (outcome === undefined) return { found: 0, published: 0, missing: false, refusal: undefined };
    count(messages, outcome, options.metrics);
    const { ackedCount: published, missing, refusal } = outcome;
    return { found: messages.length, published, missing, refusal };
  } finally {
    // A connection in an unknown state is closed: that also ends its transaction and lets the rows go.
    client.release(broken !== undefined);
  }
}

async function takeRows(client: PoolClient, options: BatchOptions): Promise<Outgoing[]> {
  const { rows } = await client.query<[string, string, string]>({
    ...(options.stragglers ? pickStragglers : pick),
    values: [options.lane, options.limit, options.source],
    rowMode: 'array',
    types: asText,
  });
  return rows.map(([subject, head, body]) => ({ subject, head, body }));
}

// The payload goes out as the text that Postgres made of it; parsing it here would be for nothing.
const asText = { getTypeParser: () => (value: string) => value };

const ID_START = 'NATS/1.0\r\nNats-Msg-Id: '.length;
const idOf = (message: Outgoing): string => message.head.slice(ID_START, ID_START + 36);

async function markRows(
  client: PoolClient,
  messages: readonly Outgoing[],
  { acked, ackedCount }: PublishOutcome,
): Promise<void> {
  const ids = (wanted: number): string =>
    `{${messages
      .filter((_, index) => acked[index] === wanted)
      .map(idOf)
      .join()}}`;
  if (ackedCount > 0) await client.query({ ...mark, values: [ids(1)] });
  if (ackedCount < messages.length) await client.query({ ...countAttempt, values: [ids(0)] });
}

function count(messages: readonly Outgoing[], { acked }: PublishOutcome, metrics: Metrics): void {
  const byType = new Map<string, number>();
  for (let index = 0; index < messages.length; index += 1) {
    const type = messages[index]?.subject;
    if (acked[index] === 1 && type !== undefined) byType.set(type, (byType.get(type) ?? 0) + 1);
  }
  for (const [type, published] of byType) metrics.eventsPublished.inc({ type }, published);
}

function publishTraced(messages: readonly Outgoing[], options: BatchOptions): Promise<PublishOutcome> {
  return inBatchSpan('publish events', messages.map(traceparentOf), 'producer', () =>
    options.publisher.publish(messages, PUBLISH_DEADLINE_MS),
  );
}

function traceparentOf(message: Outgoing): string | null {
  return /\r\ntraceparent: (.*)\r\n/.exec(message.head)?.[1] ?? null;
}
