const field = (error: unknown, name: 'code' | 'message'): string => {
  if (typeof error !== 'object' || error === null || !(name in error)) return '';
  const value: unknown = Reflect.get(error, name);
  return typeof value === 'string' ? value : '';
};

/** Errors of the connection itself, by Node's code or Postgres' SQLSTATE. */
const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED:
    'nothing listens at the database address: start Postgres, or correct host and port in the database URL',
  ENOTFOUND: 'the database host is not known: correct the host in the database URL',
  EAI_AGAIN: 'the database host cannot be looked up just now: check DNS',
  EHOSTUNREACH: 'the database host cannot be reached: check the network and the host in the database URL',
  ETIMEDOUT: 'the database does not answer: check the network and the host in the database URL',
  ENOENT: 'there is no Postgres socket at the path in the database URL: start Postgres, or correct the path',
  '28P01': 'the database refused the password: correct user and password in the database URL',
  '28000': 'the database refused the login: correct the user in the database URL, or allow it in pg_hba.conf',
  '3D000': 'the database in the URL does not exist: create it, or correct the name in the database URL',
  '53300': 'the database has no connections left: raise max_connections, or make the pools smaller',
  '57P03': 'the database is starting up or shutting down: try again in a moment',
};

/**
 * One line with cause and remedy for an error of connecting to Postgres, or undefined for any other error. Never
 * contains the URL.
 */
export const explainDatabaseError = (error: unknown): string | undefined => {
  const message = field(error, 'message');
  const code = field(error, 'code');
  const role = /permission denied to set role "([^"]+)"|role "(gatehouse_[a-z]+)" does not exist/.exec(
    message,
  );
  if (role !== null) {
    return `the database user may not act as ${role[1] ?? role[2]}: run infra/postgres/roles.sql in this database as an administrator, or use the service's own login`;
  }
  if (/^unsupported startup parameter/.test(message)) {
    return 'the database URL leads to a pooler, which refuses what is said at the start of a session: give the services DATABASE_POOLER=transaction, and migrations and backups DATABASE_DIRECT_URL, a login straight to Postgres';
  }
  if (/terminated due to connection timeout|^timeout expired$|^Query read timeout$/.test(message)) {
    return causes.ETIMEDOUT;
  }
  if (/^timeout exceeded when trying to connect$/.test(message)) {
    return 'no database connection became free in time: the database is slow or does not answer, or the pool is too small';
  }
  if (/does not support SSL/.test(message)) {
    return 'the database does not speak TLS: drop sslmode from the database URL, or switch TLS on in Postgres';
  }
  return causes[code];
};
