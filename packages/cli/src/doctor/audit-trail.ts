import { type Check, failed, measured, ok, skipped, spoken, warning } from './check.ts';
import type { Database } from './database.ts';

/** One is due every minute while anything is recorded. */
const CHECKPOINT_WARN_SECONDS = 300;
const CHECKPOINT_FAIL_SECONDS = 3_600;

/** How far the signed checkpoints are behind the trail, and whether there is a place for next month's events. */
export async function examineAudit(database: Database): Promise<readonly Check[]> {
  const { rows } = await database.query<{ readable: boolean }>(
    `select coalesce(bool_and(has_schema_privilege('audit', 'usage') and has_table_privilege(c.oid, 'select')), false)
       as readable
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'audit' and c.relname in ('chain', 'checkpoint', 'fault')`,
  );
  if (rows[0]?.readable !== true) return [skipped('audit', 'this login may not read the trail')];
  return [await checkpoint(database), await faults(database), await months(database)];
}

async function checkpoint(database: Database): Promise<Check> {
  const name = 'audit.checkpoint';
  const { rows } = await database.query<{ age: number | null; open: number | null; events: string }>(
    `select extract(epoch from now() - c.signed_at)::float as age,
       extract(epoch from now() - (select min(k.recorded_at) from audit.chain k
         where k.sequence > 0 and (c.signed_at is null or k.recorded_at > c.signed_at)))::float as open,
       (select coalesce(sum(sequence), 0) from audit.chain)::text as events
     from (select max(signed_at) as signed_at from audit.checkpoint) c`,
  );
  const { age = null, open = null, events = '0' } = rows[0] ?? {};
  if (events === '0') return ok(name, 'nothing is recorded yet');
  if (open === null) return ok(name, `covers all ${events} records, signed ${spoken(age ?? 0)} ago`);
  const last = age === null ? 'there is none yet' : `the last was signed ${spoken(age)} ago`;
  return measured(
    name,
    open,
    { warn: CHECKPOINT_WARN_SECONDS, fail: CHECKPOINT_FAIL_SECONDS },
    {
      finding: `${last}; the oldest chain beyond it ends ${spoken(open)} ago`,
      remedy:
        'start the audit service and look for "checkpoint" in its log: what no checkpoint covers could be cut off unseen',
    },
  );
}

/** Checkpoints that were vouched for outside and that the trail does not contain: it was cut, rolled back or swapped. */
async function faults(database: Database): Promise<Check> {
  const name = 'audit.faults';
  const { rows } = await database.query<{ cause: string; found_at: Date }>(
    'select cause, found_at from audit.fault where acknowledged_at is null order by found_at desc limit 5',
  );
  if (rows.length === 0) return ok(name, 'every checkpoint kept outside is in the trail');
  return failed(name, 'the trail is not the one that was vouched for', {
    details: rows.map(({ cause, found_at }) => `${found_at.toISOString()}: ${cause}`),
    remedy:
      'was the database restored or changed? "gatehouse audit verify" names the first record; acknowledge it only when the cause is known',
  });
}

/** Events of a month without a partition go into the default one, from which no retention can drop them. */
async function months(database: Database): Promise<Check> {
  const name = 'audit.partitions';
  const { rows } = await database.query<{ here: boolean; ahead: boolean }>(
    `select to_regclass('audit.event_' || to_char(now() at time zone 'UTC', 'YYYYMM')) is not null as here,
       to_regclass('audit.event_' || to_char((now() at time zone 'UTC') + interval '1 month', 'YYYYMM')) is not null
         as ahead`,
  );
  const remedy = 'start the audit service: it makes the months ahead at its start and once a day';
  if (rows[0]?.here !== true) return failed(name, 'this month has none', { remedy });
  if (rows[0]?.ahead !== true) return warning(name, 'next month has none yet', { remedy });
  return ok(name, 'this month and the next have theirs');
}
