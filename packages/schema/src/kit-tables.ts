import type { Kysely, Transaction } from 'kysely';
import type { KitDatabase } from './tables/kit.ts';

/**
 * Any service's database seen as the three tables that all services have. For code in the kit that must work for
 * every service; the tables are found through the connection's search_path.
 */
export function kitTables<DB extends KitDatabase>(db: Transaction<DB>): Transaction<KitDatabase>;
export function kitTables<DB extends KitDatabase>(db: Kysely<DB>): Kysely<KitDatabase>;
export function kitTables<DB extends KitDatabase>(db: Kysely<DB>): Kysely<KitDatabase> {
  // Kysely is invariant in its tables, so a wider database is not assignable although every query of the narrower
  // one is valid on it.
  return db as unknown as Kysely<KitDatabase>;
}
