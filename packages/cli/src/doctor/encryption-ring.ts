import type { Keyring } from '@gatehouse/kit/inspection';
import { type Check, counted, failed, ok, skipped, warning } from './check.ts';
import type { Database } from './database.ts';
import type { KnownSettings } from './settings.ts';

const NAME = 'keys.encryption';

interface KnownKey {
  readonly id: string;
  readonly state: string;
  readonly check_value: Buffer;
}

/** The ring of this environment against what the records need, and against what the platform knows by its names. */
export async function examineRing(database: Database, { env }: KnownSettings): Promise<readonly Check[]> {
  const { ENCRYPTION_KEYS: keys, ENCRYPTION_CURRENT_KEY_ID: current } = env;
  if (!keys || !current) return [skipped(NAME, 'ENCRYPTION_KEYS is not set here')];
  const { parseKeyring } = await import('@gatehouse/kit/inspection');
  let ring: Keyring;
  try {
    ring = parseKeyring(keys, current);
  } catch (error) {
    // Names the entry's place or id, never a key.
    return [
      failed(NAME, error instanceof Error ? error.message : 'ENCRYPTION_KEYS cannot be read', {
        remedy: 'mend ENCRYPTION_KEYS and ENCRYPTION_CURRENT_KEY_ID',
      }),
    ];
  }
  if (!(await mayRead(database))) return [skipped(NAME, 'this login may not read what is sealed')];
  const [needed, known] = [await neededKeys(database), await knownKeys(database)];
  return [judgeRing(ring, needed, known), ...(await reencryption(database))];
}

async function mayRead(database: Database): Promise<boolean> {
  const { rows } = await database.query<{ may: boolean }>(
    `select coalesce(bool_and(has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')), false)
       as may
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where (n.nspname, c.relname) in (('natsid', 'secret'), ('natsid', 'encryption_key'), ('token', 'signing_key'))`,
  );
  return rows[0]?.may === true;
}

/** Ids of the ring keys that records name, with how many do. A sealed text is `gs1.<key id>.…`. */
async function neededKeys(database: Database): Promise<ReadonlyMap<string, number>> {
  const { rows } = await database.query<{ id: string; records: number }>(
    `select id, sum(records)::int as records from (
       select key_id as id, count(*) as records from natsid.secret group by 1
       union all
       select case when private_sealed like 'encrypted:%' then split_part(private_sealed, ':', 2)
         else split_part(private_sealed, '.', 2) end, count(*)
       from token.signing_key where private_sealed is not null group by 1
     ) r group by id`,
  );
  return new Map(rows.map(({ id, records }) => [id, records]));
}

async function knownKeys(database: Database): Promise<KnownKey[]> {
  const { rows } = await database.query<KnownKey>('select id, state, check_value from natsid.encryption_key');
  return rows;
}

function judgeRing(ring: Keyring, needed: ReadonlyMap<string, number>, known: readonly KnownKey[]): Check {
  const other = known.filter(
    ({ id, check_value }) => ring.holds(id) && !ring.checkValue(id).equals(check_value),
  );
  if (other.length > 0)
    return failed(NAME, `not the keys that the platform knows by these names: ${idsOf(other)}`, {
      remedy: 'give each key of ENCRYPTION_KEYS the value that it had; a new key needs a new name',
    });
  const missing = [...needed].filter(([id]) => !ring.holds(id));
  if (missing.length > 0)
    return failed(NAME, `ENCRYPTION_KEYS lacks ${missing.map(([id]) => id).join(', ')}`, {
      details: missing.map(
        ([id, records]) => `${id}: ${counted(records, 'record')} cannot be read without it`,
      ),
      remedy: 'put the key back with its former value: "An encryption key is missing" in docs/runbook.md',
    });
  const unused = ring.keyIds.filter((id) => !needed.has(id) && id !== ring.wantedKeyId);
  if (unused.length > 0)
    return warning(NAME, `holds every key that is needed; no record needs ${unused.join(', ')}`, {
      remedy:
        'after a rotation: gatehouse keys encryption destroy <id>, then take it out of ENCRYPTION_KEYS; keep it with the backups',
    });
  const primary = known.find(({ state }) => state === 'primary')?.id ?? ring.wantedKeyId;
  if (primary !== ring.wantedKeyId)
    return warning(NAME, `${ring.wantedKeyId} is wanted and ${primary} still seals`, {
      remedy: 'gatehouse keys encryption status says which process lacks the new key',
    });
  return ok(NAME, `${primary} seals; the ring holds every key that records need`);
}

const idsOf = (keys: readonly KnownKey[]): string => keys.map(({ id }) => id).join(', ');

async function reencryption(database: Database): Promise<Check[]> {
  const { rows } = await database.query<{ state: string; to_key_id: string; error: string | null }>(
    'select state, to_key_id, left(error, 100) as error from natsid.reencryption order by started_at desc limit 1',
  );
  const [run] = rows;
  if (run?.state !== 'failed') return [];
  return [
    warning(
      'keys.reencryption',
      `the last one, to ${run.to_key_id}, has failed: ${run.error ?? 'no reason'}`,
      {
        remedy: 'mend what it names, then gatehouse keys encryption reencrypt',
      },
    ),
  ];
}
