import { jetstreamManager } from '@nats-io/jetstream';
import type { Pool } from 'pg';
import { type Bus, eventStream } from './bus.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { PeerError } from './peer.ts';
import { API_TIMEOUT_MS } from './streams.ts';

/** What confirming needs. */
export interface ConfirmOptions {
  readonly pool: Pool;
  readonly bus: Bus;
  /** Which of these events audit has recorded (question `recordedEvents`); at most 2000 at once. */
  readonly ask: (ids: string[]) => Promise<readonly string[]>;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly service: string;
}

/** What one run came to. */
export interface Confirmed {
  /** Rows that the outbox has forgotten. */
  readonly deleted: number;
  /** Events that audit did not have long after they were published, and that are published again. */
  readonly repeated: number;
  /** Audit could not be asked. */
  readonly skipped: boolean;
}

const PAGE = 2_000;
const PAGES_MAX = 50;
/** An audit with more than this before it has not lost an event that it does not have: it will come to it. */
const BACKLOG_MAX = 2_000;
/** Longer than any event is delivered again: seven days in the stream, and a day. */
const INBOX_DAYS = 8;

const settled = {
  name: 'outbox_settled',
  text: `select id, published_at::text as at from outbox
    where lane = 1 and published_at < now() - interval '2 seconds' and (published_at, id) > ($1::timestamptz, $2::uuid)
    order by published_at, id limit ${PAGE}`,
};
const forget = { name: 'outbox_forget', text: 'delete from outbox where id = any($1::uuid[])' };
const repeat = {
  name: 'outbox_repeat',
  text: `update outbox set published_at = null
    where id = any($1::uuid[]) and published_at < now() - interval '60 seconds'`,
};
const expire = {
  name: 'outbox_expire',
  text: `delete from outbox where lane = 0 and published_at is not null
    and occurred_at < now() - make_interval(secs => $1 + 60)`,
};
const prune = {
  name: 'inbox_prune',
  text: `delete from inbox where (consumer, event_id) in (select consumer, event_id from inbox
    where received_at < now() - interval '${INBOX_DAYS} days' limit 5000)`,
};

/**
 * Lets the outbox forget what is safe: events that audit has recorded, and revocations that no living token can be
 * about (until then they are kept, and published again should the stream be lost). Events that audit lacks a minute
 * after they were published are published again and counted as a gap; while audit works through a backlog they are
 * not, for then nothing is known to be missing. Does nothing about events while audit cannot be asked.
 */
export async function confirmRecorded(options: ConfirmOptions): Promise<Confirmed> {
  const { pool, bus } = options;
  await pool.query({ ...expire, values: [bus.revocationsMaxAgeSeconds] });
  await pool.query({ ...prune, values: [] });
  let deleted = 0;
  const missing: string[] = [];
  let after: [string, string] = ['-infinity', '00000000-0000-0000-0000-000000000000'];
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { rows } = await pool.query<{ id: string; at: string }>({ ...settled, values: after });
    const last = rows.at(-1);
    if (last === undefined) break;
    const recorded = await askAudit(
      rows.map(({ id }) => id),
      options,
    );
    if (recorded === undefined) return { deleted, repeated: 0, skipped: true };
    if (recorded.size > 0) await pool.query({ ...forget, values: [[...recorded]] });
    deleted += recorded.size;
    for (const { id } of rows) if (!recorded.has(id)) missing.push(id);
    after = [last.at, last.id];
    if (rows.length < PAGE) break;
  }
  return { deleted, repeated: await repeatMissing(missing, options), skipped: false };
}

async function askAudit(ids: string[], options: ConfirmOptions): Promise<Set<string> | undefined> {
  const asked = new Set(ids);
  try {
    return new Set((await options.ask(ids)).filter((id) => asked.has(id)));
  } catch (err) {
    if (!(err instanceof PeerError)) throw err;
    options.log.debug({ err }, 'audit cannot be asked, the outbox keeps its events');
    return undefined;
  }
}

async function repeatMissing(ids: readonly string[], options: ConfirmOptions): Promise<number> {
  const { pool, bus, metrics, log, service } = options;
  if (ids.length === 0 || !bus.up) return 0;
  const backlog = await auditBacklog(bus).catch(() => undefined);
  if (backlog === undefined || backlog > BACKLOG_MAX) return 0;
  const { rowCount } = await pool.query({ ...repeat, values: [ids] });
  const repeated = rowCount ?? 0;
  if (repeated > 0) {
    metrics.auditGap.inc({ service }, repeated);
    log.error({ events: repeated }, 'audit lacks events, publishing them again');
  }
  return repeated;
}

/** Messages that audit's consumers (`audit…`) have still to acknowledge; undefined when it has none yet. */
async function auditBacklog(bus: Bus): Promise<number | undefined> {
  const nc = bus.nc();
  if (nc === undefined) return undefined;
  const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: API_TIMEOUT_MS });
  let backlog: number | undefined;
  for await (const { name, num_pending, num_ack_pending } of jsm.consumers.list(eventStream))
    if (name.startsWith('audit')) backlog = Math.max(backlog ?? 0, num_pending + num_ack_pending);
  return backlog;
}
