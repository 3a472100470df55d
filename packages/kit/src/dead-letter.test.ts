import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DeadLetterSummary, listDeadLetters, readDeadLetter, replayDeadLetter } from './dead-letter.ts';
import { discardDeadLetter } from './discard-dead-letter.ts';
import { EventBench, recordEffect } from './event-testing.ts';
import { newId } from './id.ts';
import { bury, type Handle } from './inbox.ts';
import { eventually } from './testing.ts';

let bench: EventBench;
beforeAll(async () => {
  bench = await EventBench.open();
});
beforeEach(() => bench.database.query('truncate auth.outbox, auth.inbox, auth.dead_letter, auth.effect'));
afterAll(() => bench.close());

const cause = {
  ...{ actor_id: newId(), reason: 'mended', client_ip: '192.0.2.1', user_agent: 'test' },
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
};

/** A letter as a consumer leaves it. */
async function letterOf(
  about: { headers?: Record<string, string>; payload?: string; consumer?: string } = {},
) {
  const eventId = newId();
  const { headers = { 'ce-id': eventId, 'ce-type': 'session.refreshed' }, payload = '{"a":"ü"}' } = about;
  await bury(bench.consumer.db, {
    ...{ consumer: about.consumer ?? 'test', eventId: 'ce-id' in headers ? eventId : null, headers },
    ...{ type: 'session.refreshed', subject: 'session.refreshed', payload: Buffer.from(payload) },
    ...{ reason: 'Error: not yet', deliveries: 8 },
  });
  const [letter] = await listDeadLetters(bench.consumer.pool);
  if (letter === undefined) throw new Error('no letter');
  return { ...letter, eventId };
}

const replay = (id: string, handle: Handle = recordEffect as Handle) =>
  replayDeadLetter(bench.consumer.db, id, { service: 'auth', handles: new Map([['test', handle]]), cause });
const discard = (id: string) => discardDeadLetter(bench.consumer.db, id, { service: 'auth', cause });
const told = (what: 'replayed' | 'discarded' = 'replayed') =>
  bench.database.query<{ data: Record<string, unknown>; tenant_id: null; aggregate: string }>(
    'select data, tenant_id, aggregate from auth.outbox where type = $1',
    [`admin.dead_letter.${what}`],
  );
/** Transactions that wait for another's lock. */
async function waiting(): Promise<number> {
  const [row] = await bench.database.query<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return row?.count ?? 0;
}
const stateOf = async (id: string): Promise<DeadLetterSummary | undefined> =>
  (await listDeadLetters(bench.consumer.pool, { state: 'all' })).find((one) => one.id === id);

describe('a dead letter', () => {
  it('takes effect once, however many replay it at the same moment, and is told once with its reason', async () => {
    const { id, eventId } = await letterOf();
    // Whoever is first is done only when the others are there.
    const slow: Handle = async (tx, events) => {
      await recordEffect(tx, events);
      await eventually(async () => (await waiting()) === 2);
    };
    const outcomes = await Promise.all([replay(id, slow), replay(id, slow), replay(id, slow)]);
    expect(outcomes.map(({ outcome }) => outcome).toSorted()).toEqual([
      'already_replayed',
      'already_replayed',
      'replayed',
    ]);
    expect(await bench.effects()).toEqual([eventId]);
    expect(await told()).toEqual([
      {
        tenant_id: null,
        aggregate: `dead-letter:${id}`,
        data: {
          ...{ actor_id: cause.actor_id, reason: 'mended', client_ip: '192.0.2.1', user_agent: 'test' },
          ...{ service: 'auth', letter_id: id, consumer: 'test' },
        },
      },
    ]);
    expect(await listDeadLetters(bench.consumer.pool)).toEqual([]);
    expect(await stateOf(id)).toMatchObject({ deliveries: 9, replayed_at: expect.any(String) });
    expect(await replay(newId())).toEqual({ outcome: 'unknown' });
    expect(await replay('nonsense')).toEqual({ outcome: 'unknown' });
  });

  it('reaches its handler as it came, as a repair', async () => {
    const headers = {
      'Ce-Type': 'session.refreshed',
      'ce-time': '2026-01-02T03:04:05Z',
      'ce-subject': 'session:1',
    };
    const { id, eventId } = await letterOf({ headers: { 'ce-id': newId(), ...headers } });
    let seen: unknown;
    await replay(id, async (_tx, events, facts) => {
      seen = [events, facts];
    });
    expect(seen).toMatchObject([
      [{ type: 'session.refreshed', time: '2026-01-02T03:04:05Z', subject: 'session:1', json: '{"a":"ü"}' }],
      { fresh: false },
    ]);
    expect(eventId).not.toBe('');
  });

  it('that fails again stays open, says why, and has had no effect', async () => {
    const { id } = await letterOf();
    const failing: Handle = async (tx, events) => {
      await (recordEffect as Handle)(tx, events, { fresh: false });
      throw new TypeError('still\0 not');
    };
    expect(await replay(id, failing)).toEqual({ outcome: 'failed', reason: 'TypeError: still\0 not' });
    expect(await bench.effects()).toEqual([]);
    expect(await told()).toEqual([]);
    expect(await stateOf(id)).toMatchObject({
      ...{ reason: 'TypeError: still\ufffd not', deliveries: 9, replayed_at: null },
    });
    expect(await replay(id)).toEqual({ outcome: 'replayed' });
  });

  it('whose process loses its database in the middle is as it was', async () => {
    const { id, eventId } = await letterOf();
    const cut: Handle = async (tx, events) => {
      await (recordEffect as Handle)(tx, events, { fresh: false });
      await bench.database.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
         and state = 'idle in transaction'`,
      );
    };
    await expect(replay(id, cut)).rejects.toThrow();
    expect([await bench.effects(), await told()]).toEqual([[], []]);
    expect(await stateOf(id)).toMatchObject({ deliveries: 8, replayed_at: null });
    expect(await replay(id)).toEqual({ outcome: 'replayed' });
    expect(await bench.effects()).toEqual([eventId]);
  });

  it('that is no event, or whose consumer is not here, is not marked as replayed', async () => {
    const bare = await letterOf({ headers: {} });
    expect(await replay(bare.id)).toEqual({ outcome: 'unreadable' });
    const noJson = await letterOf({ payload: 'no json' });
    expect(await replay(noJson.id)).toEqual({ outcome: 'unreadable' });
    const other = await letterOf({ consumer: 'of-another-release' });
    expect(await replay(other.id)).toEqual({ outcome: 'no_consumer' });
    expect(await listDeadLetters(bench.consumer.pool)).toHaveLength(3);
  });

  it('is listed newest first, by state and consumer, in pages that lose and double nothing', async () => {
    for (let index = 0; index < 5; index += 1) await letterOf({ consumer: index === 2 ? 'other' : 'test' });
    // Of the same moment, to the microsecond: the id decides.
    await bench.database.query(`update auth.dead_letter set created_at = '2026-01-02T03:04:05.678901Z'`);
    const { pool } = bench.consumer;
    const all = await listDeadLetters(pool);
    expect(all[0]?.created_at).toBe('2026-01-02T03:04:05.678901Z');
    const seen: string[] = [];
    let before: DeadLetterSummary | null = null;
    for (;;) {
      const some: DeadLetterSummary[] = await listDeadLetters(pool, { before, limit: 2 });
      seen.push(...some.map(({ id }) => id));
      before = some.at(-1) ?? null;
      if (before === null) break;
    }
    expect(seen).toEqual(all.map(({ id }) => id));
    expect(seen).toHaveLength(5);
    expect(await listDeadLetters(pool, { consumer: 'other' })).toHaveLength(1);
    const [one, another] = all.filter(({ consumer }) => consumer === 'test');
    await replay(one?.id ?? '');
    await discard(another?.id ?? '');
    const counts = await Promise.all(
      (['open', 'replayed', 'discarded', 'all'] as const).map(
        async (state) => (await listDeadLetters(pool, { state })).length,
      ),
    );
    expect(counts).toEqual([3, 1, 1, 5]);
    expect(await readDeadLetter(pool, seen[0] ?? '')).toMatchObject({ payload: '{"a":"ü"}' });
    expect(await readDeadLetter(pool, newId())).toBeUndefined();
  });
});

describe('a dead letter that can never be taken', () => {
  it('is discarded once, however many ask at the same moment, and is told once with its reason', async () => {
    const { id, eventId } = await letterOf({ consumer: 'of-another-release' });
    // Nobody is done before all of them are there.
    const asked = await bench.consumer.db.transaction().execute(async (tx) => {
      await sql`select from dead_letter where id = ${id} for update`.execute(tx);
      const all = Promise.all([discard(id), discard(id), discard(id)]);
      await eventually(async () => (await waiting()) === 3);
      return { all };
    });
    const outcomes = await asked.all;
    expect(outcomes.toSorted()).toEqual(['already_discarded', 'already_discarded', 'discarded']);
    expect(await told('discarded')).toEqual([
      {
        tenant_id: null,
        aggregate: `dead-letter:${id}`,
        data: {
          ...{ actor_id: cause.actor_id, reason: 'mended', client_ip: '192.0.2.1', user_agent: 'test' },
          ...{ service: 'auth', letter_id: id, consumer: 'of-another-release', event_id: eventId },
        },
      },
    ]);
    expect(await listDeadLetters(bench.consumer.pool)).toEqual([]);
    expect([await discard(newId()), await discard('nonsense')]).toEqual(['unknown', 'unknown']);
  });

  it('is kept with what it holds, whether it was an event or not', async () => {
    const { id } = await letterOf({ headers: {}, payload: 'no json' });
    expect(await discard(id)).toBe('discarded');
    expect(await readDeadLetter(bench.consumer.pool, id)).toMatchObject({
      ...{ payload: 'no json', reason: 'Error: not yet', replayed_at: null },
      discarded_at: expect.stringMatching(/^20.*Z$/),
    });
    expect(await told('discarded')).toMatchObject([{ data: { letter_id: id, event_id: null } }]);
  });

  it('can be taken after all: the replay of a discarded one has its effect, and it is a replayed one then', async () => {
    const { id, eventId } = await letterOf();
    await discard(id);
    const refusing: Handle = async () => {
      throw new Error('still not');
    };
    expect(await replay(id, refusing)).toMatchObject({ outcome: 'failed' });
    // It does not wait again for that.
    expect(await listDeadLetters(bench.consumer.pool)).toEqual([]);
    expect(await replay(id)).toEqual({ outcome: 'replayed' });
    expect(await bench.effects()).toEqual([eventId]);
    expect(await listDeadLetters(bench.consumer.pool, { state: 'discarded' })).toEqual([]);
    expect(await listDeadLetters(bench.consumer.pool, { state: 'replayed' })).toHaveLength(1);
    expect(await discard(id)).toBe('already_replayed');
  });

  it('is not discarded while its consumer takes it', async () => {
    const { id, eventId } = await letterOf();
    let discarded: Promise<string> | undefined;
    const slow: Handle = async (tx, events, facts) => {
      await (recordEffect as Handle)(tx, events, facts);
      discarded = discard(id);
      await eventually(async () => (await waiting()) === 1);
    };
    expect(await replay(id, slow)).toEqual({ outcome: 'replayed' });
    expect(await discarded).toBe('already_replayed');
    expect([await bench.effects(), await told('discarded')]).toEqual([[eventId], []]);
    expect(await stateOf(id)).toMatchObject({ discarded_at: null });
  });
});
