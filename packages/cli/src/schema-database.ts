import { databaseUrl } from './database-url.ts';
import { Fault } from './fault.ts';

/** Loaded when a command needs it: everything else starts without the database's driver. */
const schema = () => import('@gatehouse/schema');

/** Works on the database of DATABASE_URL; what cannot be reached is told with its remedy. */
export async function onDatabase<T>(
  work: (from: Awaited<ReturnType<typeof schema>>, url: string) => Promise<T>,
): Promise<T> {
  const url = databaseUrl();
  const from = await schema();
  try {
    return await work(from, url);
  } catch (error) {
    const explained = from.explainDatabaseError(error);
    throw explained === undefined ? error : new Fault(explained);
  }
}

/** A migration by its whole name, or by its number: `0007`, `7`. @throws Fault */
export async function versionNamed(text: string): Promise<string> {
  const { knownMigrations } = await schema();
  const number = /^\d{1,4}$/.test(text) ? text.padStart(4, '0') : undefined;
  const found = knownMigrations.find(
    (name) => name === text || (number !== undefined && name.startsWith(`${number}-`)),
  );
  if (found === undefined) throw new Fault(`there is no migration ${text}: see "gatehouse migrate status"`);
  return found;
}
