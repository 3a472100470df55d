import { type ClientBase, escapeIdentifier } from 'pg';
import { RolesMissing } from './migration-error.ts';
import { roleOf, schemaNames } from './service-name.ts';

const INSUFFICIENT_PRIVILEGE = '42501';
/**
 * What Postgres says when two databases of one cluster make the same role or membership at the same moment:
 * duplicate_object, unique_violation, and internal_error ('tuple concurrently updated'). Looking again settles it.
 */
const RACES = new Set(['42710', '23505', 'XX000']);
const RACE_ATTEMPTS = 20;

/** The SQLSTATE of an error of Postgres. */
export const sqlState = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/**
 * Makes the service roles where they are missing and makes the current user a member, so that services that log in
 * with the same user can take them on. Each statement commits by itself: inside a migration's transaction a new role
 * would block every other database of the cluster until that migration ends.
 *
 * @throws RolesMissing when a role is missing and the user may not create it
 */
export const ensureRoles = async (
  client: ClientBase,
  roles: readonly string[] = schemaNames.map(roleOf),
): Promise<void> => {
  for (const role of roles) {
    await settle(() => ensureRole(client, role));
    await settle(() => ensureMembership(client, role));
  }
};

const ensureRole = async (client: ClientBase, role: string): Promise<void> => {
  const found = await client.query('select from pg_roles where rolname = $1', [role]);
  if (found.rowCount !== 0) return;
  try {
    await client.query(`create role ${escapeIdentifier(role)} nologin`);
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    const user = await client.query<{ name: string }>('select current_user as name');
    throw new RolesMissing(role, user.rows[0]?.name ?? 'in the URL');
  }
};

const ensureMembership = async (client: ClientBase, role: string): Promise<void> => {
  // Before Postgres 16 a member could always take the role on; since then that is a right of its own.
  const held = await client.query<{ held: boolean }>(
    `select pg_has_role(current_user, $1,
       case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end) as held`,
    [role],
  );
  if (held.rows[0]?.held === true) return;
  try {
    await client.query(`grant ${escapeIdentifier(role)} to current_user`);
  } catch (error) {
    // Not needed where each service has its own login; where it is needed, connecting says so.
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
  }
};

/** Tries again what another process of the cluster did at the same moment. */
export const settle = async (step: () => Promise<void>): Promise<void> => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await step();
      return;
    } catch (error) {
      if (attempt === RACE_ATTEMPTS || !RACES.has(sqlState(error) ?? '')) throw error;
    }
  }
};
