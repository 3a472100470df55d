import { type ClaimFault, Faults } from './claim-fault.ts';
import type { AccountLimits } from './claims.ts';
import { completeAccountClaims } from './complete-claims.ts';
import { type LooseObject, objectOf } from './loose-json.ts';

const UNLIMITED = Number.POSITIVE_INFINITY;
const plain = ['subs', 'data', 'payload', 'imports', 'exports', 'conn', 'leaf'] as const;
/** Of these, tiers share what there is; a byte of tier R3 takes three. */
const stored = ['mem_storage', 'disk_storage'] as const;
const counted = ['streams', 'consumer'] as const;
/** Of these, each tier may have all; 0 is unlimited too. */
const each = ['max_ack_pending', 'mem_max_stream_bytes', 'disk_max_stream_bytes'] as const;

/**
 * Where limits go beyond a ceiling: what a tenant's allowance lets its accounts have. A field that the ceiling lacks, or
 * has as -1, is free. Limits may be given in part: what is missing is taken as {@link completeAccountClaims} fills it
 * in. A ceiling of flat JetStream limits binds the sum of an account's tiers; a ceiling of tiers allows those tiers only.
 */
export function limitsExceeding(limits: AccountLimits, ceiling: AccountLimits): ClaimFault[] {
  const faults = new Faults();
  const wanted = objectOf(completeAccountClaims({ limits }).limits);
  const most = objectOf(ceiling);
  for (const key of plain) compare(amount(wanted[key]), most[key], `limits.${key}`, faults);
  if (most.wildcards === false && wanted.wildcards !== false)
    faults.add('limits.wildcards', 'The allowance does not include exports with wildcards.');
  if (most.disallow_bearer === true && wanted.disallow_bearer !== true)
    faults.add('limits.disallow_bearer', 'The allowance does not include bearer users.');
  const tiers = Object.entries(objectOf(wanted.tiered_limits)).map(
    ([tier, of]) => [tier, objectOf(of)] as const,
  );
  const ceilings = objectOf(most.tiered_limits);
  if (tiers.length === 0) {
    compareJetStream(wanted, most, 'limits', faults);
    if (Object.keys(ceilings).length > 0 && hasStorage(wanted))
      faults.add('limits', `The allowance is for JetStream in tiers: ${Object.keys(ceilings).join(', ')}.`);
    return faults.list;
  }
  compareJetStream(sumOf(tiers), most, 'limits.tiered_limits', faults);
  for (const [tier, of] of tiers) {
    const path = `limits.tiered_limits.${tier}`;
    if (Object.hasOwn(ceilings, tier)) compareJetStream(of, objectOf(ceilings[tier]), path, faults);
    else if (Object.keys(ceilings).length > 0 && hasStorage(of))
      faults.add(path, 'The allowance does not include this tier.');
  }
  return faults.list;
}

const amount = (value: unknown): number => (value === -1 ? UNLIMITED : typeof value === 'number' ? value : 0);
const freeAtZero = (value: unknown): number => amount(value) || UNLIMITED;
const hasStorage = (limits: LooseObject): boolean => stored.some((key) => amount(limits[key]) !== 0);

function compareJetStream(wanted: LooseObject, most: LooseObject, path: string, faults: Faults): void {
  for (const key of stored) compare(amount(wanted[key]), most[key], `${path}.${key}`, faults);
  // Without storage there are no streams, whatever else is allowed.
  if (!hasStorage(wanted)) return;
  for (const key of counted) compare(amount(wanted[key]), most[key], `${path}.${key}`, faults);
  for (const key of each)
    if (most[key] !== 0) compare(freeAtZero(wanted[key]), most[key], `${path}.${key}`, faults);
  if (most.max_bytes_required === true && wanted.max_bytes_required !== true)
    faults.add(`${path}.max_bytes_required`, 'The allowance asks for max_bytes on every stream.');
}

function compare(wanted: number, most: unknown, path: string, faults: Faults): void {
  if (typeof most !== 'number' || most === -1 || wanted <= most) return;
  const text = wanted === UNLIMITED ? 'unlimited' : String(wanted);
  faults.add(path, `This is ${text}, and the allowance ends at ${most}.`);
}

/** What tiers come to together, as flat limits count it. */
function sumOf(tiers: readonly (readonly [string, LooseObject])[]): LooseObject {
  const sum: Record<string, unknown> = {};
  const back = (value: number) => (value === UNLIMITED ? -1 : value);
  for (const key of stored)
    sum[key] = back(
      tiers.reduce((total, [tier, of]) => total + (amount(of[key]) && amount(of[key]) * replicas(tier)), 0),
    );
  for (const key of counted) sum[key] = back(tiers.reduce((total, [, of]) => total + amount(of[key]), 0));
  for (const key of each) sum[key] = back(Math.max(...tiers.map(([, of]) => freeAtZero(of[key]))));
  sum.max_bytes_required = tiers.every(([, of]) => of.max_bytes_required === true);
  return sum;
}

const replicas = (tier: string): number => Number(/^R(\d{1,2})$/.exec(tier)?.[1] ?? 1);
