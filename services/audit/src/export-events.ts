import { once } from 'node:events';
import { Readable } from 'node:stream';
import {
  administeredBy,
  append,
  type Call,
  type Principal,
  Problem,
  reasonGiven,
  routesOf,
  tracedLog,
} from '@gatehouse/kit';
import { sql } from 'kysely';
import Type, { type Static } from 'typebox';
import type { AuditContext } from './context.ts';
import { stretchesOf } from './export-chains.ts';
import { type ExportWriter, writerOf } from './export-format.ts';
import { checkpointOf, logOf } from './export-log.ts';
import { partsOf } from './export-parts.ts';
import { type ExportFilters, ExportQuery, exportFiltersOf, filtersShown } from './export-query.ts';
import { readSnapshot, type Snapshot, snapshotCursor, takeSnapshot } from './export-snapshot.ts';
import { visibleTenant } from './visible-tenant.ts';

/** The trail, or a part of it, of any length: chain after chain, each from its oldest record on. */
export const exportEvents = routesOf<AuditContext>()({
  method: 'GET',
  path: '/api/audit/export',
  access: 'audit.export',
  summary: 'Export the audit trail as JSON, NDJSON, CSV or OCSF',
  description:
    'Streams the chain of one tenant after another, each oldest first, up to where the trail ends when the export begins. JSON and NDJSON carry what `gatehouse audit verify` needs. An answer that broke off is gone on with by the header `gatehouse-export-cursor` and the chain and sequence of its last whole line. Each export is an event of the audit itself.',
  query: ExportQuery,
  answer: Type.Any({ description: 'In the format asked for.' }),
  problems: ['bad_cursor', 'unknown_tenant'],
  run: (ctx) => async (call) => {
    const tenantId = visibleTenant(call.principal, call.query.tenant_id);
    const filters = exportFiltersOf(call.query, tenantId);
    const resumed = positionOf(call.query, tenantId);
    const { cursor } = call.query;
    const snapshot =
      cursor === undefined
        ? await takeSnapshot({ ...ctx, log: tracedLog(ctx.log, call.trace) }, tenantId)
        : readSnapshot(ctx, cursor, filters);
    const { reply } = call;
    const writer = writerOf(filters.format, resumed !== undefined);
    const total = await totalOf(ctx, filters, snapshot);
    const next = snapshotCursor(ctx, snapshot, filters);
    reply.header('content-type', writer.contentType).header('cache-control', 'no-store');
    reply.header('content-disposition', `attachment; filename="audit.${filters.format}"`);
    if (next !== undefined) reply.header('gatehouse-export-cursor', next);
    if (total !== undefined) reply.header('gatehouse-export-total', String(total));
    // Nothing is handed over, so nothing is told.
    if (call.request.method === 'HEAD') return undefined;
    const export_ = new Export(ctx, { filters, snapshot, resumed, writer });
    await send(ctx, export_, call, filters);
    return undefined;
  },
});

/** Where an export is gone on with. */
interface Position {
  readonly chain: string;
  readonly sequence: number;
}

function positionOf(
  { cursor, after }: Static<typeof ExportQuery>,
  tenantId: string | undefined,
): Position | undefined {
  if (after === undefined) return undefined;
  const split = after.lastIndexOf(':');
  const position = { chain: after.slice(0, split), sequence: Number(after.slice(split + 1)) };
  if (cursor === undefined)
    throw new Problem('invalid_request', {
      detail: 'after needs the cursor of the export that it goes on with.',
    });
  if (tenantId !== undefined && position.chain !== tenantId) throw new Problem('bad_cursor');
  return position;
}

async function send(
  ctx: AuditContext,
  export_: Export,
  call: Call<unknown, Static<typeof ExportQuery>, unknown, Principal>,
  filters: ExportFilters,
): Promise<void> {
  const body = Readable.from(export_.chunks(), { objectMode: false, highWaterMark: CHUNK_BYTES });
  body.once('error', (err) => ctx.log.warn({ err, trace_id: call.trace.traceId }, 'audit export broke off'));
  const closed = once(body, 'close').catch(() => undefined);
  try {
    call.reply.send(body);
    await closed;
  } finally {
    // Whatever was handed over counts, also when the client did not wait for the rest.
    await tell(ctx, export_, call, filters);
  }
}

const CHUNK_BYTES = 64 * 1024;

async function tell(
  { db, relay }: AuditContext,
  { records, complete }: Export,
  { principal, query, client, trace }: Call<unknown, Static<typeof ExportQuery>, unknown, Principal>,
  filters: ExportFilters,
): Promise<void> {
  await db.transaction().execute((tx) =>
    append(tx, {
      type: 'audit.exported',
      tenant_id: filters.tenantId ?? null,
      aggregate: 'audit:export',
      traceparent: trace.traceparent,
      data: {
        ...administeredBy({ principal, client }, reasonGiven(query)),
        format: filters.format,
        filters: filtersShown(filters),
        ...{ records, complete },
      },
    }),
  );
  relay.poke();
}

/** One export under way: its text, and how far it has come. */
class Export {
  records = 0;
  complete = false;
  readonly #ctx: AuditContext;
  readonly #filters: ExportFilters;
  readonly #snapshot: Snapshot;
  readonly #resumed: Position | undefined;
  readonly #writer: ExportWriter;

  constructor(
    ctx: AuditContext,
    plan: { filters: ExportFilters; snapshot: Snapshot; resumed: Position | undefined; writer: ExportWriter },
  ) {
    this.#ctx = ctx;
    this.#filters = plan.filters;
    this.#snapshot = plan.snapshot;
    this.#resumed = plan.resumed;
    this.#writer = plan.writer;
  }

  /** The text, as fast as it is taken: nothing is read ahead of who receives it. */
  async *chunks(): AsyncGenerator<string> {
    if (this.#resumed === undefined) yield* this.#head();
    yield* this.#body();
    this.complete = true;
    yield this.#writer.close({ records: this.records });
  }

  async *#head(): AsyncGenerator<string> {
    const { db, checkpointKey } = this.#ctx;
    const { proof, tenantId } = this.#filters;
    const header = {
      gatehouse_export: 1,
      origin: checkpointKey.signer.name,
      filters: filtersShown(this.#filters),
      tenant_id: tenantId ?? null,
      proof,
      log_size: this.#snapshot.size,
      began_at: this.#snapshot.beganAt.toISOString(),
    } as const;
    yield this.#writer.open(header, proof === 'full' ? await checkpointOf(db, this.#snapshot) : null);
    if (proof === 'full')
      for await (const parts of logOf(db, this.#filters, this.#snapshot)) yield this.#writer.log(parts);
    const begin = this.#writer.begin();
    if (begin !== '') yield begin;
  }

  async *#body(): AsyncGenerator<string> {
    const { db, pool } = this.#ctx;
    const from = this.#resumed;
    for await (const stretch of stretchesOf(db, this.#filters, this.#snapshot, from?.chain)) {
      const goesOn = stretch.chain === from?.chain;
      const left = goesOn ? { ...stretch, after: Math.max(stretch.after, from.sequence) } : stretch;
      for await (const parts of partsOf(pool, this.#filters, left, goesOn)) {
        for (const part of parts) if ('row' in part) this.records += 1;
        yield this.#writer.parts(parts);
      }
    }
  }
}

/** How many records there are to look at, where that is known without looking: for whoever shows how far it is. */
async function totalOf(
  { db }: AuditContext,
  { start, end, tenantId }: ExportFilters,
  { size, tails }: Snapshot,
): Promise<number | undefined> {
  if (start !== undefined || end !== undefined) return undefined;
  const names = Object.keys(tails);
  const { rows } = await sql<{ total: number }>`
    select coalesce(sum(coalesce(t.sequence, h.sequence) - c.dropped_sequence), 0)::bigint as total
    from chain c
    left join unnest(${names}::text[], ${names.map((name) => tails[name])}::bigint[]) as t(chain, sequence) on t.chain = c.chain
    left join lateral (
      select sequence from head where head.chain = c.chain and head.index < ${size} order by sequence desc limit 1) h on true
    ${tenantId === undefined ? sql`` : sql`where c.chain = ${tenantId}`}`.execute(db);
  return rows[0]?.total;
}
