import { type ClientBase, escapeIdentifier, escapeLiteral } from 'pg';
import { settle, sqlState } from './roles.ts';
import { roleOf, type SchemaName, schemaNames } from './service-name.ts';
import { sessionSettings } from './session-settings.ts';

const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Gives each service's role its session settings in this database, for who logs in as it: behind a pooler in transaction
 * mode nothing else holds for every statement. (A role that is taken on with SET ROLE brings no settings.) Does nothing
 * where they are in force, or where an administrator made the roles: infra/postgres/roles.sql has set them then.
 */
export const ensureLoginSettings = async (client: ClientBase): Promise<void> => {
  for (const service of schemaNames) {
    const wrong = await wrongSettings(client, service);
    if (wrong.length === 0) continue;
    try {
      await settle(() => client.query(alterations(service, wrong)).then(() => undefined));
    } catch (error) {
      if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    }
  }
};

type Setting = readonly [name: string, value: string];

const wrongSettings = async (client: ClientBase, service: SchemaName): Promise<readonly Setting[]> => {
  const { rows } = await client.query<{ setting: string }>(
    `select unnest(s.setconfig) as setting
     from pg_db_role_setting s join pg_roles r on r.oid = s.setrole join pg_database d on d.oid = s.setdatabase
     where r.rolname = $1 and d.datname = current_database()`,
    [roleOf(service)],
  );
  const has = new Set(rows.map(({ setting }) => setting.toLowerCase()));
  return Object.entries(sessionSettings(service)).filter(
    ([name, value]) => !has.has(`${name}=${value}`.toLowerCase()),
  );
};

/** One message, so one transaction: no login begins with half of them. */
const alterations = (service: SchemaName, settings: readonly Setting[]): string => {
  const role = escapeIdentifier(roleOf(service));
  const alter = settings.map(
    ([name, value]) =>
      `execute format('alter role ${role} in database %I set ${name} = %L', current_database(), ${escapeLiteral(value)});`,
  );
  return `do $$ begin ${alter.join(' ')} end $$`;
};
