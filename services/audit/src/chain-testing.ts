import { ChainFollower, type Content, genesis, type StoredRecord } from '@gatehouse/audit-chain';
import type { AuditDatabase } from '@gatehouse/schema';
import type { Kysely, Selectable } from 'kysely';

type Row = Selectable<AuditDatabase['event']>;

/** The hashed content of a row as it was read. */
export const contentOfRow = (row: Row): Content => ({
  ...{ id: row.id, type: row.type, severity: row.severity, outcome: row.outcome, source: row.source },
  ...{ tenant_id: row.tenant_id, user_id: row.user_id, actor: row.actor, subject: row.subject },
  ...{ trace_id: row.trace_id, data: row.data },
  occurred_at: row.occurred_at.toISOString(),
  personal: row.personal_digest?.toString('hex') ?? null,
});

/** The records of a chain in their order. */
export async function chainOf(db: Kysely<AuditDatabase>, chain: string): Promise<StoredRecord[]> {
  const rows = await db
    .selectFrom('event')
    .selectAll()
    .where('chain', '=', chain)
    .orderBy('sequence')
    .execute();
  return rows.map((row) => ({
    ...{ sequence: row.sequence, recorded_at: row.recorded_at, hash: row.hash, content: contentOfRow(row) },
  }));
}

/** What is wrong with any chain, from what retention has left of it; empty when all verify up to their heads. */
export async function chainFaults(db: Kysely<AuditDatabase>): Promise<unknown[]> {
  const chains = await db.selectFrom('chain').selectAll().execute();
  const faults: unknown[] = [];
  for (const { chain, sequence, hash, dropped_sequence, dropped_hash } of chains) {
    const start =
      dropped_sequence === 0 ? genesis(chain) : { chain, sequence: dropped_sequence, hash: dropped_hash };
    const follower = new ChainFollower(
      start,
      sequence === dropped_sequence ? [] : [{ chain, sequence, hash }],
    );
    for (const record of await chainOf(db, chain)) follower.next(record);
    const fault = follower.end();
    if (fault !== undefined) faults.push(fault);
  }
  return faults;
}
