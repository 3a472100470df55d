/**
 * The one schema: who owns which table, how to reach it, and how it came to be.
 *
 * Tables are named bare (`db.selectFrom('session')`): each service gets `Kysely<ItsDatabase>`, which knows only its
 * own tables, over connections whose search_path and role are its own. Naming another service's table therefore
 * does not compile, and would not be found or readable either. bigint columns are JavaScript numbers (a value past
 * 2^53 is an error), timestamptz are Dates, jsonb are objects, bytea are Buffers.
 */
export {
  checkSessions,
  type SessionExpectation,
  type SessionFault,
  sharesConnections,
} from './check-sessions.ts';
export { type Connection, type ConnectOptions, connect } from './connect.ts';
export { InvalidDatabaseUrl } from './database-url.ts';
export { dumpSchema } from './dump.ts';
export { explainDatabaseError } from './explain-database-error.ts';
export { kitTables } from './kit-tables.ts';
export type { LockMode } from './lock-mode.ts';
export {
  type MigrateDownOptions,
  type MigrateUpOptions,
  migrateDown,
  migrateUp,
  migrationStatus,
} from './migrate.ts';
export { inMigratingTransaction, type MigratingTransaction } from './migrating-transaction.ts';
export {
  MigrationFailed,
  MigrationTargetRefused,
  NewerDatabase,
  PendingMigrations,
  RolesMissing,
  UnsupportedPostgres,
} from './migration-error.ts';
export type { Finding } from './migration-rule.ts';
export {
  assertCompatible,
  knownMigrations,
  type MigrationState,
  type MigrationStatus,
  newestMigration,
  readMigrationStatus,
} from './migration-status.ts';
export type { MigrationStep } from './migrator.ts';
export type { PlannedMigration, PlannedStatement } from './plan.ts';
export { type MigrationPlan, type PlanBasis, type PlanOptions, planMigrations } from './plan-migrations.ts';
export { ScratchRefused } from './scratch-database.ts';
export { type Databases, roleOf, type SchemaName, schemaNames } from './service-name.ts';
export { sessionSettings } from './session-settings.ts';
export * from './tables/audit.ts';
export * from './tables/auth.ts';
export * from './tables/gateway.ts';
export * from './tables/kit.ts';
export * from './tables/natsid.ts';
export * from './tables/token.ts';
