import { InvalidArgumentError } from 'commander';

/** Quantities as people write them; each reader refuses what it cannot read with the remedy (exit code 2). */

const DIGITS = /^[0-9]{1,15}$/;

/** A whole number, or `unlimited` (also `-1`). */
export function limitOf(text: string): number {
  if (isUnlimited(text)) return -1;
  if (!DIGITS.test(text)) throw new InvalidArgumentError('Say a whole number, or "unlimited".');
  return Number(text);
}

const isUnlimited = (text: string) => text === '-1' || /^unlimited$/i.test(text);

const sizes: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  K: 1024,
  KIB: 1024,
  KB: 1e3,
  M: 1024 ** 2,
  MIB: 1024 ** 2,
  MB: 1e6,
  G: 1024 ** 3,
  GIB: 1024 ** 3,
  GB: 1e9,
  T: 1024 ** 4,
  TIB: 1024 ** 4,
  TB: 1e12,
};

/** Bytes: `10GiB`, `500MB`, `64K` (= KiB), `1048576`, or `unlimited`. */
export function sizeOf(text: string): number {
  if (isUnlimited(text)) return -1;
  const [, amount = '', unit = ''] = /^([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,3})$/.exec(text) ?? [];
  const factor = sizes[unit.toUpperCase()];
  const bytes = Number(amount) * (factor ?? Number.NaN);
  if (amount === '' || !Number.isSafeInteger(Math.round(bytes)))
    throw new InvalidArgumentError('Say a size such as 10GiB, 500MB or 1048576, or "unlimited".');
  return Math.round(bytes);
}

const seconds: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  h: 3_600,
  d: 86_400,
  w: 604_800,
  y: 31_536_000,
};

/** Whole seconds: `90s`, `15m`, `24h`, `30d`, `2w`, `1y`, or several together as `1h30m`. */
export function secondsOf(text: string): number {
  const parts = [...text.matchAll(/([0-9]{1,9})([smhdwy])/g)];
  const read = parts.map(([part]) => part).join('');
  const total = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (seconds[unit ?? ''] ?? 0), 0);
  if (read !== text || total < 1 || !Number.isSafeInteger(total))
    throw new InvalidArgumentError('Say a time such as 90s, 15m, 24h, 30d or 1y.');
  return total;
}

/** As {@link secondsOf}, in nanoseconds: what nats-server counts in. */
export function nanosecondsOf(text: string): number {
  const milliseconds = /^([0-9]{1,9})ms$/.exec(text)?.[1];
  const found = milliseconds === undefined ? secondsOf(text) * 1e9 : Number(milliseconds) * 1e6;
  if (!Number.isSafeInteger(found)) throw new InvalidArgumentError('That is too long: at most 100 days.');
  return found;
}

/** A lifetime, or `never`: for ever (null). */
export function lifetimeOf(text: string): number | null {
  return text === 'never' ? null : secondsOf(text);
}

/** A moment as RFC 3339: `30d` from now, `2027-01-31`, `2027-01-31T12:00:00Z`; `never` is null. */
export function momentOf(text: string): string | null {
  if (text === 'never') return null;
  if (/^[0-9]+[smhdwy]/.test(text)) return new Date(Date.now() + secondsOf(text) * 1000).toISOString();
  const time = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time))
    throw new InvalidArgumentError('Say a time from now such as 30d, a date such as 2027-01-31, or "never".');
  return new Date(time).toISOString();
}

/** Gathers an option that may be given more than once. */
export function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}
