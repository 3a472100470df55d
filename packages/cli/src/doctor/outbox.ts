import { schemaNames } from '@gatehouse/schema';
import { type Check, counted, measured, ok, skipped, spoken, warning } from './check.ts';
import type { Database } from './database.ts';

const WAITING_WARN_SECONDS = 60;
const WAITING_FAIL_SECONDS = 300;
/** A gap is published again after a minute; what is open much longer, audit does not take. */
const UNCONFIRMED_WARN_SECONDS = 300;

/** What waits to be published, what audit has not confirmed, and what consumers gave up on, of every service. */
export async function examineOutboxes(database: Database): Promise<readonly Check[]> {
  const readable = await readableSchemas(database, 'outbox');
  if (readable.length === 0) return [skipped('outbox', 'this login may read none')];
  return [
    await waiting(database, readable),
    await unconfirmed(database, readable),
    await deadLetters(database),
  ];
}

/** A service's own login reads its own tables only. */
async function readableSchemas(database: Database, table: string): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(
    `select n.nspname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relname = $1 and n.nspname = any ($2) and c.relkind = 'r'
       and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') order by 1`,
    [table, schemaNames],
  );
  return rows.map(({ name }) => name);
}

const ofEach = (schemas: readonly string[], select: (schema: string) => string): string =>
  schemas.map(select).join(' union all ');

async function waiting(database: Database, schemas: readonly string[]): Promise<Check> {
  const { rows } = await database.query<{ service: string; depth: number; oldest: number }>(
    `select * from (${ofEach(
      schemas,
      (schema) => `select '${schema}' as service, count(*)::int as depth,
        coalesce(extract(epoch from now() - min(occurred_at)), 0)::float as oldest
        from ${schema}.outbox where published_at is null`,
    )}) o order by oldest desc`,
  );
  const depth = rows.reduce((sum, row) => sum + row.depth, 0);
  const oldest = rows[0]?.oldest ?? 0;
  return measured(
    'outbox',
    oldest,
    { warn: WAITING_WARN_SECONDS, fail: WAITING_FAIL_SECONDS },
    {
      finding:
        depth === 0
          ? 'nothing waits to be published'
          : `${counted(depth, 'event')} wait to be published, the oldest for ${spoken(oldest)}`,
      remedy: 'start NATS, and the service whose events wait: they go out by themselves, and none is lost',
      details: rows
        .filter((row) => row.depth > 0 && row.oldest >= WAITING_WARN_SECONDS)
        .map((row) => `${row.service}: ${row.depth}, the oldest for ${spoken(row.oldest)}`),
    },
  );
}

async function unconfirmed(database: Database, schemas: readonly string[]): Promise<Check> {
  const { rows } = await database.query<{ count: number; oldest: number }>(
    `select coalesce(sum(count), 0)::int as count, coalesce(max(oldest), 0)::float as oldest from (${ofEach(
      schemas,
      (schema) => `select count(*) as count, extract(epoch from now() - min(occurred_at)) as oldest
        from ${schema}.outbox where published_at is not null and lane = 1`,
    )}) o`,
  );
  const { count = 0, oldest = 0 } = rows[0] ?? {};
  const name = 'outbox.unconfirmed';
  const finding = `${counted(count, 'event')} published and not confirmed by audit, the oldest for ${spoken(oldest)}`;
  if (count === 0) return ok(name, 'audit has confirmed everything');
  if (oldest < UNCONFIRMED_WARN_SECONDS) return ok(name, finding);
  return warning(name, finding, {
    remedy:
      'start the audit service and look at its log; what it lacks is published again, and kept until it has it',
  });
}

const REASONS_SHOWN = 5;
/** What to do with messages that a consumer gave up on. */
export const DEAD_LETTER_REMEDY =
  'mend the cause that the reason names, then: gatehouse dead-letters replay --all --reason "…"; what can never be taken: gatehouse dead-letters discard <id> --reason "…"';

async function deadLetters(database: Database): Promise<Check> {
  const name = 'dead_letters';
  const schemas = await readableSchemas(database, 'dead_letter');
  const { rows } = await database.query<{ consumer: string; type: string; count: number; reason: string }>(
    `select consumer, type, count(*)::int as count, max(left(reason, 100)) as reason from (${ofEach(
      schemas,
      (schema) =>
        `select consumer, type, reason from ${schema}.dead_letter where replayed_at is null and discarded_at is null`,
    )}) d group by consumer, type order by 3 desc`,
  );
  const count = rows.reduce((sum, row) => sum + row.count, 0);
  if (count === 0) return ok(name, 'none');
  return warning(name, `${counted(count, 'message')} that consumers gave up on`, {
    details: rows
      .slice(0, REASONS_SHOWN)
      .map((row) => `${row.consumer}: ${row.count} of ${row.type}: ${row.reason}`),
    remedy: DEAD_LETTER_REMEDY,
  });
}
