import {
  administeredBy,
  append,
  type Call,
  type Principal,
  Problem,
  Reason,
  reasonGiven,
  routesOf,
  tenantScope,
  Uuid,
} from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import { type Kysely, sql, type Transaction } from 'kysely';
import Type from 'typebox';
import type { AuditContext } from './context.ts';

/** Rows of the person in one transaction. */
const BATCH = 5_000;
/** A request ends after this; whoever asks again goes on. */
const DEADLINE_MS = 15_000;

/**
 * Erases what tells of a person's whereabouts and contact. Whose it is: address and device of a row are those of who
 * *acted*. Where an administrator changed somebody, the row has the administrator's address, and keeps it when the one
 * concerned is erased; only where it has the e-mail of the one concerned as well does all that is personal in it go,
 * because one digest stands for it in the chain. Besides, attempts under the person's e-mail while it was nobody's. The
 * row itself, its chain and who did what to whom stay.
 */
export const erasePerson = routesOf<AuditContext>()({
  method: 'POST',
  path: '/api/audit/erasures',
  access: 'audit.erase',
  summary: 'Erase the personal fields of a person from the audit trail',
  description:
    'Works in batches, each with an event of its own. `complete: false`: the request took too long; repeat it to go on. The chains verify as before. Nobody erases what tells of themselves.',
  body: Type.Object({ user_id: Uuid, reason: Reason }),
  answer: Type.Object({
    records: Type.Integer({ description: 'Records that lost their personal fields by this request.' }),
    complete: Type.Boolean(),
  }),
  problems: ['reason_required', 'not_found', 'conflict'],
  run:
    ({ db, relay }) =>
    async (call) => {
      const person = call.body.user_id.toLowerCase();
      const tenant = tenantScope(call.principal);
      const home = await homeOf(db, person, tenant);
      if (home === undefined) throw new Problem('not_found');
      const reason = reasonGiven(call.body);
      if (reason === '') throw new Problem('reason_required');
      if (person === call.principal.userId.toLowerCase())
        throw new Problem('conflict', { detail: 'Another administrator must erase what tells of you.' });
      const until = performance.now() + DEADLINE_MS;
      let records = 0;
      let at: Position | undefined;
      do {
        const batch = await db
          .transaction()
          .execute((tx) => eraseBatch(tx, call, { person, tenant, home: home.tenant_id, reason, at }));
        records += batch.erased;
        at = batch.next;
      } while (at !== undefined && performance.now() < until);
      relay.poke();
      return { records, complete: at === undefined };
    },
});

interface Position {
  readonly time: Date;
  readonly id: string;
}

interface Wanted {
  readonly person: string;
  /** Rows of this tenant alone; undefined: of every tenant. */
  readonly tenant: string | undefined;
  /** Where the event belongs. */
  readonly home: string | null;
  readonly reason: string;
  readonly at: Position | undefined;
}

/** The tenant of somebody whom the trail knows, as far as one may know; undefined when it does not. */
async function homeOf(
  db: Kysely<AuditDatabase>,
  person: string,
  tenant: string | undefined,
): Promise<{ readonly tenant_id: string | null } | undefined> {
  // Two questions, each answered by the first row of an index.
  const one = (column: 'user_id' | 'actor') =>
    db
      .selectFrom('event')
      .select('tenant_id')
      .where(column, '=', person)
      .$if(tenant !== undefined, (rows) => rows.where('tenant_id', '=', tenant ?? null))
      .limit(1)
      .executeTakeFirst();
  return (await one('user_id')) ?? (await one('actor'));
}

async function eraseBatch(
  tx: Transaction<AuditDatabase>,
  {
    principal,
    client,
    trace,
  }: Pick<Call<unknown, unknown, unknown, Principal>, 'principal' | 'client' | 'trace'>,
  { person, tenant, home, reason, at }: Wanted,
): Promise<{ readonly erased: number; readonly next: Position | undefined }> {
  const { rows } = await sql<{ erased: number; next_time: Date | null; next_id: string | null }>`
    select erased, next_time, next_id from audit.erase(${person}::uuid, ${tenant ?? null}::uuid,
      ${at?.time ?? null}::timestamptz, ${at?.id ?? null}::uuid, ${BATCH}::int)`.execute(tx);
  const { erased = 0, next_time: time = null, next_id: id = null } = rows[0] ?? {};
  if (erased > 0) {
    await append(tx, {
      type: 'audit.erased',
      tenant_id: home,
      aggregate: `user:${person}`,
      traceparent: trace.traceparent,
      data: {
        ...administeredBy({ principal, client }, reason),
        ...{ user_id: person, records: erased },
      },
    });
  }
  return { erased, next: time === null || id === null ? undefined : { time, id } };
}
