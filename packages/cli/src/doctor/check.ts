/** How something stands. `skipped`: it could not be looked at, or does not apply. */
export type CheckStatus = 'ok' | 'warning' | 'failed' | 'skipped';

/** One thing that was looked at. Nothing in it is secret. */
export interface Check {
  /** Stable, for programs: `database.migrations`. */
  readonly name: string;
  readonly status: CheckStatus;
  /** What was found, in one line. */
  readonly finding: string;
  /** What to do, for everything that is not well. */
  readonly remedy: string | null;
  /** What is wrong in particular, a line each. */
  readonly details: readonly string[];
}

export const ok = (name: string, finding: string): Check => made(name, 'ok', finding);
export const skipped = (name: string, finding: string, remedy?: string): Check =>
  made(name, 'skipped', finding, { remedy });
export const warning = (name: string, finding: string, more: More): Check =>
  made(name, 'warning', finding, more);
export const failed = (name: string, finding: string, more: More): Check =>
  made(name, 'failed', finding, more);

/** What goes with a finding that is not well. */
export interface More {
  readonly remedy?: string | undefined;
  readonly details?: readonly string[];
}

function made(
  name: string,
  status: CheckStatus,
  finding: string,
  { remedy, details = [] }: More = {},
): Check {
  return { name, status, finding, remedy: remedy ?? null, details };
}

/** A value against two limits: from `warn` on a warning, from `fail` on a failure. */
export function measured(
  name: string,
  value: number,
  limits: { readonly warn: number; readonly fail: number },
  about: { readonly finding: string; readonly remedy: string; readonly details?: readonly string[] },
): Check {
  const { finding, ...more } = about;
  if (value >= limits.fail) return failed(name, finding, more);
  return value >= limits.warn ? warning(name, finding, more) : ok(name, finding);
}

/** Runs checks that one cause can stop: an error of theirs, or no end in time, is a finding of its own. */
export async function guarded(
  name: string,
  deadlineMs: number,
  work: () => Promise<readonly Check[]>,
): Promise<readonly Check[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly Check[]>((resolve) => {
    timer = setTimeout(
      () =>
        resolve([
          failed(name, `not looked at: no answer within ${deadlineMs / 1000} s`, {
            remedy: 'look at the load of this machine and of what is asked, then run this again',
          }),
        ]),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([work(), late]);
  } catch (error) {
    // Names and codes only: a message may quote what it was given.
    const reason = (error as { code?: string }).code ?? (error as Error).name;
    return [
      failed(name, `could not be looked at (${reason})`, {
        remedy: 'this is a fault of the doctor: report it with the version and this line',
      }),
    ];
  } finally {
    clearTimeout(timer);
  }
}

const units = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
] as const;

/** A length of time as people say it: `4.2 s`, `12 min`, `3 h`, `5 d`. */
export function spoken(seconds: number): string {
  const [size, unit] = units.find(([one]) => Math.abs(seconds) >= 2 * one) ?? [1, 's'];
  const amount = seconds / size;
  return `${Math.abs(amount) < 10 && unit === 's' ? Math.round(amount * 10) / 10 : Math.round(amount)} ${unit}`;
}

/** `1 event`, `2 events`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** Where a URL leads, without what may be secret in it. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host || 'a socket of this machine' : 'an address that is none';
}
