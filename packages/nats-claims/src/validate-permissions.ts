import { isIPv4, isIPv6 } from 'node:net';
import { type Faults, memberPath, shown } from './claim-fault.ts';
import { isObject, type LooseObject, listOf, numberOf, objectOf, textOf, textsOf } from './loose-json.ts';
import { subjectFault } from './subject.ts';

/** How one entry of a list is judged; templates are judged with their functions filled in. */
export interface EntryRules {
  /** Of the entry as a whole, queue group and all. */
  readonly whole?: (entry: string) => string | undefined;
  readonly subject: (subject: string) => string | undefined;
}

/** `pub`, `sub` and `resp`, of a user, a role or an account's default. */
export function checkPermissions(
  fields: LooseObject,
  path: string,
  faults: Faults,
  rules: EntryRules = { subject: subjectFault },
): void {
  for (const side of ['pub', 'sub'] as const) {
    for (const list of ['allow', 'deny'] as const) {
      const at = memberPath(memberPath(path, side), list);
      for (const [index, subject] of textsOf(objectOf(fields[side])[list])) {
        const fault =
          rules.whole?.(subject) ?? (side === 'sub' ? queueFault(subject, rules) : rules.subject(subject));
        if (fault) faults.add(memberPath(at, index), fault);
      }
    }
  }
  const resp = fields.resp;
  if (!isObject(resp)) return;
  for (const key of ['max', 'ttl'] as const)
    if (resp[key] !== undefined && !(Number.isSafeInteger(resp[key]) && numberOf(resp[key]) >= -1))
      faults.add(memberPath(memberPath(path, 'resp'), key), 'This must be a whole number, -1 or greater.');
}

/** Subscriptions may name a queue group: `subject queue`. */
function queueFault(text: string, rules: EntryRules): string | undefined {
  const [subject = '', queue, ...more] = text.split(' ');
  if (more.length > 0) return 'This is a subject, or a subject, one space and a queue group.';
  return rules.subject(subject) ?? (queue === undefined ? undefined : rules.subject(queue));
}

const connectionTypes = new Set([
  'STANDARD',
  'WEBSOCKET',
  'LEAFNODE',
  'LEAFNODE_WS',
  'MQTT',
  'MQTT_WS',
  'IN_PROCESS',
]);

/** From where, when and how somebody may connect, and how much they may. */
export function checkUserLimits(fields: LooseObject, faults: Faults): void {
  for (const key of ['subs', 'data', 'payload'] as const) checkLimit(fields[key], key, faults);
  // Old tools wrote one text with commas.
  const networks: unknown = typeof fields.src === 'string' ? fields.src.split(',') : fields.src;
  for (const [index, network] of textsOf(networks))
    if (!isNetwork(network))
      faults.add(
        memberPath('src', index),
        'This is not a network, such as 10.0.0.0/8 or 2001:db8::/32; one address is /32 or /128.',
      );
  for (const [index, range] of listOf(fields.times).entries())
    for (const key of ['start', 'end'] as const)
      if (!isTimeOfDay(textOf(objectOf(range)[key])))
        faults.add(`times[${index}].${key}`, 'This is not a time of day, such as 08:30:00.');
  checkLocation(fields, faults);
  const types = textsOf(fields.allowed_connection_types);
  // A server passes over types that it does not know, and refuses the user when none is left.
  if (types.length > 0 && !types.some(([, type]) => connectionTypes.has(type.toUpperCase())))
    faults.add(
      'allowed_connection_types',
      `None of these is a connection type; there are ${[...connectionTypes].join(', ')}.`,
    );
}

/** Of these limits servers keep 32 bits; 2.10 lets 2^32 come out as 0, which is none (tried). */
const of32Bits = new Set(['subs', 'payload', 'conn', 'leaf']);
const INT32_MAX = 2 ** 31 - 1;

/** One limit, by its path; absent is fine here. */
export function checkLimit(value: unknown, path: string, faults: Faults): void {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || numberOf(value) < -1)
    faults.add(path, 'A limit is a whole number; -1 is unlimited.');
  else if (numberOf(value) > INT32_MAX && of32Bits.has(path.slice(path.lastIndexOf('.') + 1)))
    faults.add(path, `Servers keep this limit up to ${INT32_MAX}; -1 is unlimited.`);
}

function isNetwork(text: string): boolean {
  const [address = '', bits = '', ...more] = text.split('/');
  if (more.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(bits) || address.includes('%')) return false;
  return (isIPv4(address) && Number(bits) <= 32) || (isIPv6(address) && Number(bits) <= 128);
}

const isTimeOfDay = (text: string): boolean => /^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$/.test(text);

function checkLocation(fields: LooseObject, faults: Faults): void {
  const zone = textOf(fields.times_location);
  if (zone === '') return;
  const found = ianaZone(zone);
  if (found === undefined)
    faults.add(
      'times_location',
      `${shown(zone)} is not a time zone of the IANA database, such as Europe/Madrid.`,
    );
  // Servers look the name up as a file: its case counts.
  else if (found !== zone && found.toLowerCase() === zone.toLowerCase())
    faults.add('times_location', `This time zone is written ${shown(found)}.`);
}

function ianaZone(name: string): string | undefined {
  if (!/^[A-Za-z][\w+/-]*$/.test(name)) return undefined;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}
