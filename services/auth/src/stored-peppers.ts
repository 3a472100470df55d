import { pepperIdOf } from './hash.ts';

/** The settings that hold peppers, as the environment has them. */
export interface PepperSettings {
  readonly PASSWORD_PEPPER?: string | undefined;
  readonly PASSWORD_FORMER_PEPPERS?: string | undefined;
}

/** A connection that may read the accounts. */
interface Reader {
  query<Row extends object>(text: string, values: unknown[]): Promise<{ rows: Row[] }>;
}

/** How many passwords cannot be verified with the peppers of these settings: their hashes name another. */
export async function passwordsWithoutPepper(
  client: Reader,
  { PASSWORD_PEPPER: current = '', PASSWORD_FORMER_PEPPERS: former = '' }: PepperSettings,
): Promise<number> {
  const known = [current, ...former.split(',')]
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map((text) => pepperIdOf(Buffer.from(text)));
  const { rows } = await client.query<{ count: number }>(
    `select count(*)::int as count from auth.user_account,
       substring(password_hash from ',keyid=([A-Za-z0-9+/]+)') as named
     where named is not null and named <> all ($1)`,
    [known],
  );
  return rows[0]?.count ?? 0;
}
