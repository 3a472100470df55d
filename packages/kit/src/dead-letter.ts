import type { NatsConnection } from '@nats-io/nats-core';
import type { Pool, PoolClient } from 'pg';
import { isUuid } from './id.ts';
import { createPublisher } from './publish.ts';

/** A message that a consumer gave up on. */
export interface DeadLetterRow {
  readonly id: string;
  readonly consumer: string;
  /** null: it was no event, and a replay could not make it one. */
  readonly event_id: string | null;
  readonly type: string;
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  /** As text; what is not UTF-8 shows as U+FFFD. */
  readonly payload: string;
  readonly reason: string;
  readonly deliveries: number;
  readonly created_at: Date;
  readonly replayed_at: Date | null;
}

/** Which dead letters to list. */
export interface DeadLetterFilter {
  readonly consumer?: string;
  /** Also those that were replayed. */
  readonly replayed?: boolean;
  /** 100 unless given. */
  readonly limit?: number;
}

/** Lists the dead letters of a service (the pool's), oldest first. */
export async function listDeadLetters(pool: Pool, filter: DeadLetterFilter = {}): Promise<DeadLetterRow[]> {
  const { rows } = await pool.query<Omit<DeadLetterRow, 'payload'> & { payload: Buffer }>(
    `select id, consumer, event_id, type, subject, headers, payload, reason, deliveries, created_at, replayed_at
     from dead_letter where ($1::text is null or consumer = $1) and ($2 or replayed_at is null)
     order by created_at, id limit $3`,
    [filter.consumer ?? null, filter.replayed ?? false, filter.limit ?? 100],
  );
  return rows.map((row) => ({ ...row, payload: row.payload.toString() }));
}

/** What became of a replay. `unreadable`: no event, so no consumer can take it. `unavailable`: the stream did not take it. */
export type Replay = 'replayed' | 'already_replayed' | 'unknown' | 'unreadable' | 'unavailable';

const PUBLISH_DEADLINE_MS = 5_000;

/**
 * Puts a dead letter before its consumer again: once, however often it is asked for. The inbox row that stands for it
 * goes, the message is published to its subject under its own event id; consumers that have dealt with it find it in
 * their inbox, and only the one that gave up takes it. Published before the commit: a crash in between leaves the
 * inbox row, which absorbs the message, and the letter, which can be replayed.
 */
export async function replayDeadLetter(
  pool: Pool,
  options: { readonly nc: NatsConnection; readonly id: string },
): Promise<Replay> {
  const { nc, id } = options;
  if (!isUuid(id)) return 'unknown';
  const client = await pool.connect();
  let sound = false;
  try {
    await client.query('begin');
    const outcome = await replayIn(client, nc, id);
    await client.query(outcome === 'replayed' ? 'commit' : 'rollback');
    sound = true;
    return outcome;
  } finally {
    client.release(!sound);
  }
}

async function replayIn(client: PoolClient, nc: NatsConnection, id: string): Promise<Replay> {
  const { rows } = await client.query<{
    consumer: string;
    event_id: string | null;
    subject: string;
    headers: Record<string, string>;
    payload: Buffer;
    replayed_at: Date | null;
  }>(
    `select consumer, event_id, subject, headers, payload, replayed_at from dead_letter where id = $1 for update`,
    [id],
  );
  const [letter] = rows;
  if (letter === undefined) return 'unknown';
  if (letter.replayed_at !== null) return 'already_replayed';
  if (letter.event_id === null) return 'unreadable';
  await client.query('delete from inbox where consumer = $1 and event_id = $2', [
    letter.consumer,
    letter.event_id,
  ]);
  await client.query('update dead_letter set replayed_at = now() where id = $1', [id]);
  return (await publish(nc, id, letter)) ? 'replayed' : 'unavailable';
}

async function publish(
  nc: NatsConnection,
  id: string,
  letter: { subject: string; headers: Record<string, string>; payload: Buffer },
): Promise<boolean> {
  // Under another message id: the stream may still remember the first.
  const headers = Object.entries({ ...letter.headers, 'Nats-Msg-Id': `${id}.replay` });
  const lines = headers.map(([key, value]) => `${key}: ${value.replace(/[\r\n]/g, '')}\r\n`);
  const head = `NATS/1.0\r\n${lines.join('')}\r\n`;
  const publisher = createPublisher(nc);
  try {
    const message = { subject: letter.subject, head, body: letter.payload.toString() };
    return (await publisher.publish([message], PUBLISH_DEADLINE_MS)).ackedCount === 1;
  } finally {
    publisher.close();
  }
}
