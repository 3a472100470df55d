import { createHash } from 'node:crypto';
import pg from 'pg';
import type { PoolerLogin } from './pgbouncer.ts';

/** The settings that name the database of each service, by its role. */
const roles = {
  gatehouse_auth: 'AUTH_DATABASE_URL',
  gatehouse_token: 'TOKEN_DATABASE_URL',
  gatehouse_audit: 'AUDIT_DATABASE_URL',
  gatehouse_gateway: 'GATEWAY_DATABASE_URL',
  gatehouse_natsid: 'NATS_IDENTITY_DATABASE_URL',
} as const;

const ATTEMPTS = 20;

/**
 * Lets each service log in for itself, as infra/postgres/roles.sql tells an administrator. Roles belong to the whole
 * server and installations of other specs may be on it: the passwords follow from the owner's, so all set the same.
 */
export async function makeServiceLogins(ownerUrl: string): Promise<PoolerLogin[]> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    const logins = Object.keys(roles).map((name) => ({ name, password: passwordFor(name, ownerUrl) }));
    for (const login of logins) await settled(() => makeLogin(client, login));
    return logins;
  } finally {
    await client.end();
  }
}

/** Settings of an installation whose services reach `databaseUrl` through the pooler at `poolerUrl`. */
export function pooledSettings(
  databaseUrl: string,
  poolerUrl: string,
  logins: readonly PoolerLogin[],
): Record<string, string> {
  const urlFor = ({ name, password }: PoolerLogin): string => {
    const url = new URL(databaseUrl);
    const pooler = new URL(poolerUrl);
    [url.hostname, url.port, url.username, url.password] = [pooler.hostname, pooler.port, name, password];
    return url.href;
  };
  const urls = Object.fromEntries(
    logins.map((login) => [roles[login.name as keyof typeof roles], urlFor(login)]),
  );
  // What took DATABASE_URL for the owner's would be refused.
  return {
    ...urls,
    DATABASE_URL: urls.AUTH_DATABASE_URL ?? '',
    DATABASE_DIRECT_URL: databaseUrl,
    DATABASE_POOLER: 'transaction',
  };
}

const passwordFor = (name: string, ownerUrl: string): string =>
  createHash('sha256')
    .update(`${name} ${new URL(ownerUrl).password}`)
    .digest('base64url');

async function makeLogin(client: pg.Client, { name, password }: PoolerLogin): Promise<void> {
  const { rowCount } = await client.query('select from pg_roles where rolname = $1', [name]);
  const verb = rowCount === 0 ? 'create' : 'alter';
  await client.query(`${verb} role ${name} login password ${pg.escapeLiteral(password)}`);
}

/** Of two that make or change a role at the same moment one is refused; looking again settles it. */
async function settled(work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await work();
      return;
    } catch (error) {
      const { code } = error as { code?: string };
      if (attempt === ATTEMPTS || !['42710', '23505', 'XX000'].includes(code ?? '')) throw error;
    }
  }
}
