import {
  administeredBy,
  append,
  Problem,
  page,
  pageOf,
  pageQuery,
  Reason,
  readPage,
  reasonOf,
  routesOf,
  Time,
  Uuid,
} from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type from 'typebox';
import type { AuditContext } from './context.ts';

const FaultItem = Type.Object({
  id: Type.String(),
  cause: Type.String({ description: 'rolled_back: our log is shorter; forked: it is another.' }),
  detail: Type.String(),
  note: Type.String({ description: 'The signed note that this log does not have.' }),
  found_at: Time,
  acknowledged_at: Type.Union([Time, Type.Null()]),
  acknowledged_by: Type.Union([Type.String(), Type.Null()]),
  reason: Type.Union([Type.String(), Type.Null()]),
});

const itemOf = (row: Selectable<AuditDatabase['fault']>) => ({
  ...row,
  found_at: row.found_at.toISOString(),
  acknowledged_at: row.acknowledged_at?.toISOString() ?? null,
});

const binding = { list: 'audit.faults', tenantId: undefined, filters: {} };

/** Checkpoints kept outside that the trail is not the one of, newest first. */
export const listFaults = routesOf<AuditContext>()({
  method: 'GET',
  path: '/api/audit/faults',
  access: 'platform.read',
  summary: 'Checkpoints kept outside that are not in the audit’s log, newest first',
  query: Type.Object(pageQuery, { additionalProperties: false }),
  answer: pageOf(FaultItem),
  problems: ['bad_cursor'],
  run:
    ({ db, secrets }) =>
    async ({ query }) => {
      const request = readPage(secrets.cursorKey, query, binding);
      const rows = await db
        .selectFrom('fault')
        .selectAll()
        // Ids rise with time.
        .$if(request.after !== undefined, (rest) => rest.where('id', '<', String(request.after?.[0])))
        .orderBy('id', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(secrets.cursorKey, rows, { ...request, binding, position: ({ id }) => [id], item: itemOf });
    },
});

/** Lets checkpoints be signed again although one that is kept outside is not in the log: after a restore that was meant. */
export const acknowledgeFault = routesOf<AuditContext>()({
  method: 'POST',
  path: '/api/audit/faults/:id/acknowledge',
  access: 'platform.manage',
  summary: 'Let checkpoints be signed again on top of a trail that is not the one vouched for',
  params: Type.Object({ id: Uuid }),
  body: Type.Object({ reason: Reason }),
  answer: FaultItem,
  problems: ['reason_required', 'not_found', 'conflict'],
  run:
    ({ db, relay }) =>
    async ({ params, body, principal, client, trace }) => {
      const reason = reasonOf(body);
      const id = params.id.toLowerCase();
      const outcome = await db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('fault')
          .set({ acknowledged_at: sql<Date>`now()`, acknowledged_by: principal.userId, reason })
          .where('id', '=', id)
          .where('acknowledged_at', 'is', null)
          .returningAll()
          .executeTakeFirst();
        if (row === undefined)
          return (await tx.selectFrom('fault').select('id').where('id', '=', id).executeTakeFirst())
            ? ('conflict' as const)
            : ('not_found' as const);
        await append(tx, {
          type: 'audit.chain.fault_acknowledged',
          tenant_id: null,
          aggregate: 'audit:checkpoint',
          traceparent: trace.traceparent,
          data: {
            ...administeredBy({ principal, client }, reason),
            ...{ fault_id: id, cause: row.cause, detail: row.detail },
          },
        });
        return row;
      });
      if (typeof outcome === 'string') throw new Problem(outcome);
      relay.poke();
      return itemOf(outcome);
    },
});
