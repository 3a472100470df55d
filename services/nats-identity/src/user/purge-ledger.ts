import { sql } from 'kysely';
import type { NatsIdentityContext, NatsIdentityJob } from '../context.ts';

const ROWS_PER_BATCH = 2_000;
/** The job's lock is a transaction, which Postgres ends after 30 idle seconds. */
const BUDGET_MS = 15_000;

/**
 * Forgets credentials that expired NATS_LEDGER_DAYS ago. One that never expires stays: so long as it is there, its
 * revocation is known to be needed.
 */
export const purgeLedger: NatsIdentityJob = {
  name: 'nats-ledger-purge',
  everySeconds: 3_600,
  instances: 'one',
  run: async (ctx) => {
    const until = performance.now() + BUDGET_MS;
    const expired = firstIdOf(Date.now() - ctx.config.NATS_LEDGER_DAYS * 86_400_000);
    while (performance.now() < until && (await purgeBatch(ctx, expired)) === ROWS_PER_BATCH);
  },
};

async function purgeBatch(ctx: NatsIdentityContext, issuedBefore: string): Promise<number> {
  const { numAffectedRows = 0n } = await sql`
    delete from credential where id = any(array(
      select id from credential
      where id < ${issuedBefore}::uuid
        and expires_at < now() - ${ctx.config.NATS_LEDGER_DAYS}::int4 * interval '1 day'
      order by id limit ${ROWS_PER_BATCH}))`.execute(ctx.db);
  return Number(numAffectedRows);
}

/** The least UUID v7 of a moment: ids are in the order of issue, so that the walk needs no index of its own. */
function firstIdOf(ms: number): string {
  const hex = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-000000000000`;
}
