import { type Check, failed, ok, skipped, spoken, warning } from './check.ts';
import type { Database } from './database.ts';
import type { KnownSettings } from './settings.ts';

/** A signing key as the database or the API tells it; times as text or Date. */
export interface SigningKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly state: string;
  readonly source?: string;
  readonly activated_at: string | Date | null;
  readonly activates_at: string | Date | null;
  readonly retires_at: string | Date | null;
}

const NAME = 'keys.signing';
const ROTATION_DAYS_DEFAULT = 90;
/** The job looks every few seconds; a day late means that it does not run. */
const LATE_SECONDS = 86_400;
const OVERDUE_SECONDS = 3_600;

/** The keys that sign access tokens, from the database. */
export async function examineSigningKeys(
  database: Database,
  { env }: KnownSettings,
): Promise<readonly Check[]> {
  if (env.JWT_PRIVATE_KEY_PEM)
    return [ok(NAME, `from the environment (JWT_KID ${env.JWT_KID ?? 'not set'})`)];
  const { rows: allowed } = await database.query<{ may: boolean }>(
    `select has_schema_privilege('token', 'usage') and has_table_privilege(c.oid, 'select') as may
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'token' and c.relname = 'signing_key'`,
  );
  if (allowed[0]?.may !== true) return [skipped(NAME, 'this login may not read them')];
  const { rows } = await database.query<SigningKey>(
    `select kid, algorithm, state, activated_at, activates_at, retires_at from token.signing_key
     where state <> 'retired' order by created_at desc`,
  );
  return [judgeSigningKeys(rows, Number(env.KEY_ROTATION_DAYS) || ROTATION_DAYS_DEFAULT)];
}

/** Whether one signs, the next is known to verifiers, and none stays longer than it should. */
export function judgeSigningKeys(keys: readonly SigningKey[], rotationDays = ROTATION_DAYS_DEFAULT): Check {
  const of = (state: string) => keys.find((key) => key.state === state);
  const [current, next] = [of('current'), of('next')];
  const details = keys.filter(({ state }) => state !== 'retired').map(described);
  const token = 'start the token service and look at its log';
  if (current === undefined)
    return failed(NAME, 'no key signs: nobody can sign in', {
      details,
      remedy: `${token}: it makes keys at its first start`,
    });
  if (current.source === 'environment') return ok(NAME, `${current.kid} signs (from the environment)`);
  const age = ageOf(current.activated_at);
  const finding = `${current.kid} (${current.algorithm}) signs since ${spoken(age)}`;
  if (next === undefined)
    return warning(NAME, `${finding}; there is no next key: a rotation would have to wait`, {
      details,
      remedy: `${token}: it publishes the next key by itself`,
    });
  const overdue = keys.find(
    ({ state, retires_at }) => state === 'previous' && ageOf(retires_at) > OVERDUE_SECONDS,
  );
  if (overdue !== undefined || age > rotationDays * 86_400 + LATE_SECONDS)
    return warning(NAME, `${finding}; the job that rotates and retires keys does not run`, {
      details,
      remedy: `${token}; "gatehouse keys rotate" does it by hand`,
    });
  return ok(NAME, `${finding}; ${next.kid} is next`);
}

function described({ kid, state, activates_at, retires_at }: SigningKey): string {
  const when =
    state === 'previous' && retires_at !== null
      ? `, goes at ${timeOf(retires_at)}`
      : state === 'next' && activates_at !== null
        ? `, may sign from ${timeOf(activates_at)}`
        : '';
  return `${kid}: ${state}${when}`;
}

const timeOf = (time: string | Date): string => new Date(time).toISOString();

/** Seconds since a moment; negative for one to come, minus infinity for none. */
const ageOf = (time: string | Date | null): number =>
  time === null ? Number.NEGATIVE_INFINITY : (Date.now() - new Date(time).getTime()) / 1000;
