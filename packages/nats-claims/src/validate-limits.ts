import { type Faults, memberPath, shown } from './claim-fault.ts';
import { isObject, type LooseObject, numberOf, objectOf } from './loose-json.ts';
import { checkLimit } from './validate-permissions.ts';

const plainNumbers = ['subs', 'data', 'payload', 'imports', 'exports', 'conn', 'leaf'] as const;
const jetStreamNumbers = [
  'mem_storage',
  'disk_storage',
  'streams',
  'consumer',
  'max_ack_pending',
  'mem_max_stream_bytes',
  'disk_max_stream_bytes',
] as const;

/** `limits` of an account; of flat JetStream limits and tiers a server takes one or the other. */
export function checkLimits(limits: LooseObject, faults: Faults, systemAccount: boolean): void {
  checkNumbers(limits, [...plainNumbers, ...jetStreamNumbers], 'limits', faults);
  const tiers = Object.entries(objectOf(limits.tiered_limits));
  for (const [tier, of] of tiers) {
    const path = memberPath('limits.tiered_limits', tier);
    if (!/^R[1-9]\d?$/.test(tier))
      faults.add(path, `A tier is named by its replicas, such as R1 or R3, not ${shown(tier)}.`);
    checkNumbers(objectOf(of), jetStreamNumbers, path, faults);
  }
  const flat = [...jetStreamNumbers, 'max_bytes_required'].find(
    (key) => numberOf(limits[key]) !== 0 || limits[key] === true,
  );
  if (tiers.length > 0 && flat !== undefined)
    faults.add(memberPath('limits', flat), 'Flat JetStream limits and tiers exclude each other.');
  const enabled = [limits, ...tiers.map(([, of]) => objectOf(of))].some(hasStorage);
  if (systemAccount && enabled) faults.add('limits', 'The system account cannot have JetStream.');
}

const hasStorage = (limits: LooseObject): boolean =>
  numberOf(limits.mem_storage) !== 0 || numberOf(limits.disk_storage) !== 0;

function checkNumbers(limits: LooseObject, keys: readonly string[], path: string, faults: Faults): void {
  if (!isObject(limits)) return;
  for (const key of keys) checkLimit(limits[key], memberPath(path, key), faults);
}
