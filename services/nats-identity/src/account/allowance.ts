import { isDeepStrictEqual } from 'node:util';
import { Problem } from '@gatehouse/kit';
import { type AccountLimits, type ClaimFault, limitsExceeding, memberPath } from '@gatehouse/nats-claims';
import type { AllowanceTable, JsonObject } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import type { NatsidTransaction } from '../context.ts';

/** What the platform allows a tenant under an operator. */
export type Allowance = Selectable<AllowanceTable>;

/** Reads a tenant's allowance; `lock` makes those who count against it wait for each other. */
export async function readAllowance(
  tx: NatsidTransaction,
  tenantId: string,
  operatorId: string,
  { lock = false }: { readonly lock?: boolean } = {},
): Promise<Allowance | undefined> {
  return tx
    .selectFrom('allowance')
    .selectAll()
    .where('tenant_id', '=', tenantId)
    .where('operator_id', '=', operatorId)
    .$if(lock, (some) => some.forUpdate())
    .executeTakeFirst();
}

/** Accounts that count against an allowance: all but tombstones. */
export async function countAccounts(
  tx: NatsidTransaction,
  tenantId: string,
  operatorId: string,
): Promise<number> {
  const { count } = await tx
    .selectFrom('account')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('tenant_id', '=', tenantId)
    .where('operator_id', '=', operatorId)
    .where('state', '<>', 'deleted')
    .executeTakeFirstOrThrow();
  return Number(count);
}

/**
 * Limits that a tenant's new account has when it says nothing of them: what the allowance ends at, not "unlimited".
 * JetStream's stay out: storage is taken when it is asked for.
 */
export function withinAllowance(claims: JsonObject, allowance: Allowance): JsonObject {
  if (claims.limits !== undefined && !isRecord(claims.limits)) return claims;
  const ends = Object.fromEntries(
    Object.entries(allowance.limits_max).filter(([key]) => plainLimits.has(key)),
  );
  return { ...claims, limits: { ...ends, ...claims.limits } };
}

const plainLimits = new Set([
  'subs',
  'data',
  'payload',
  'imports',
  'exports',
  'wildcards',
  'disallow_bearer',
  'conn',
  'leaf',
]);

/** Claims of a tenant's account before and after a change by the tenant's own administrator. */
export interface TenantChange {
  readonly before: JsonObject;
  readonly after: JsonObject;
  readonly allowance: Allowance;
  /** Public key of the operator's system account. */
  readonly systemAccount: string | undefined;
}

/**
 * Refuses what a tenant's administrator may not give an account: limits beyond the allowance, and what only the platform
 * sets. What stood there before, because the platform set it, may stay.
 * @throws Problem `allowance_exceeded` with `errors: [{path, message}]`
 */
export function checkTenantChange({ before, after, allowance, systemAccount }: TenantChange): void {
  const max = allowance.limits_max as AccountLimits;
  const over = limitsExceeding(limitsOf(after), max);
  // An account that does not exist yet has no limits: nothing of it stood there before.
  const stood = before.limits === undefined ? [] : limitsExceeding(limitsOf(before), max);
  const faults: ClaimFault[] = over.filter(
    (fault) => !stood.some(({ path, message }) => path === fault.path && message === fault.message),
  );
  if ((after.cluster_traffic ?? '') !== (before.cluster_traffic ?? ''))
    faults.push({
      path: 'cluster_traffic',
      message: 'Only the platform sets which account carries the traffic between servers.',
    });
  for (const [index, one] of listOf(after.imports).entries())
    if (
      isRecord(one) &&
      one.account === systemAccount &&
      !listOf(before.imports).some((had) => isDeepStrictEqual(had, one))
    )
      faults.push({
        path: memberPath('imports', index),
        message: 'Only the platform lets an account import from the system account.',
      });
  if (faults.length > 0) throw exceeded(faults);
}

/** The problem of what an allowance does not cover. */
export const exceeded = (errors: readonly ClaimFault[], detail?: string): Problem =>
  new Problem('allowance_exceeded', { members: { errors }, ...(detail !== undefined && { detail }) });

const limitsOf = (claims: JsonObject): AccountLimits =>
  isRecord(claims.limits) ? (claims.limits as AccountLimits) : {};
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
