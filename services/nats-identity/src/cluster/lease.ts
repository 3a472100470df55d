import { sql } from 'kysely';
import type { NatsIdentityBase } from '../context.ts';

/** Nobody else writes to the cluster before this is over, whatever becomes of the holder. */
const LEASE_MS = 8_000;
/** What the holder gives up of it: clocks of two machines run apart, and what was sent must arrive. */
const LEASE_MARGIN_MS = 2_000;
const RENEW_AFTER_MS = 2_000;

/** The lease was lost or ran out: somebody else may be writing to the cluster. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
  constructor() {
    super('the lease of the cluster is over');
  }
}

/** The right to write to one cluster. */
export interface Lease {
  /** Whether it holds, by a clock that only goes forward. Asked before each push. */
  held(): boolean;
  /** Makes it last; false: somebody else has it. Costs nothing while it is fresh. */
  renew(): Promise<boolean>;
  /** Lets the next one have it at once. */
  release(): Promise<void>;
}

/** Takes the lease of a cluster when nobody has it. A holder that died loses it by time. */
export async function takeLease(
  ctx: NatsIdentityBase,
  clusterId: string,
  holder: string,
): Promise<Lease | undefined> {
  let until = 0;
  let renewed = 0;
  const take = async () => {
    // Counted from before the question: the answer may have been on its way for long.
    const begun = performance.now();
    const { rows } = await sql`
      update cluster set lease_holder = ${holder}, lease_until = now() + ${LEASE_MS} * interval '1 millisecond'
      where id = ${clusterId} and (lease_holder is null or lease_holder = ${holder} or lease_until < now())
      returning id`.execute(ctx.db);
    renewed = begun;
    until = rows.length > 0 ? begun + LEASE_MS - LEASE_MARGIN_MS : 0;
    return rows.length > 0;
  };
  if (!(await take())) return undefined;
  return {
    held: () => performance.now() < until,
    renew: async () => performance.now() < Math.min(renewed + RENEW_AFTER_MS, until) || take(),
    async release() {
      until = 0;
      await sql`
        update cluster set lease_holder = null, lease_until = null
        where id = ${clusterId} and lease_holder = ${holder}`.execute(ctx.db);
    },
  };
}
