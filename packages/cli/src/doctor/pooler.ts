import type { SchemaName, SessionFault } from '@gatehouse/schema';
import { type Check, failed, hostOf, ok, skipped, warning } from './check.ts';
import type { KnownSettings } from './settings.ts';

const NAME = 'database.pooler';

const ownUrls: Readonly<Record<SchemaName, string>> = {
  auth: 'AUTH_DATABASE_URL',
  token: 'TOKEN_DATABASE_URL',
  audit: 'AUDIT_DATABASE_URL',
  gateway: 'GATEWAY_DATABASE_URL',
  natsid: 'NATS_IDENTITY_DATABASE_URL',
};

/**
 * Whether what leads to the database is what was announced: connections that are sessions, or a pooler in transaction
 * mode behind which each service has what it needs from its login.
 */
export async function examinePooler({ env }: KnownSettings): Promise<readonly Check[]> {
  const url = env.DATABASE_URL?.trim();
  if (!url) return [skipped(NAME, 'DATABASE_URL is not set here', 'run this where the services run')];
  const pooled = env.DATABASE_POOLER?.trim() === 'transaction';
  const checks: Check[] = [];
  for (const [service, setting] of Object.entries(ownUrls) as [SchemaName, string][]) {
    const own = env[setting]?.trim();
    if (own) checks.push(...(await examineSessions(own, service, env)));
  }
  // Without logins of their own all services have the same: behind a pooler that is one service's.
  if (checks.length === 0) checks.push(...(await examineSessions(url, serviceOf(url), env)));
  if (pooled) checks.push(await examineDirect(env));
  if (checks.some(({ status }) => status !== 'ok')) return checks.filter(({ status }) => status !== 'ok');
  return [
    ok(
      NAME,
      pooled
        ? `a pooler in transaction mode at ${hostOf(url)}, and a way past it`
        : 'each connection is a session',
    ),
  ];
}

/** The service that a login belongs to; auth for one that may act as all. */
const serviceOf = (url: string): SchemaName => {
  const named = /\/\/gatehouse_([a-z]+)[:@]/.exec(url)?.[1];
  return named !== undefined && named in ownUrls ? (named as SchemaName) : 'auth';
};

async function examineSessions(
  url: string,
  service: SchemaName,
  env: KnownSettings['env'],
): Promise<readonly Check[]> {
  const { checkSessions, connect, explainDatabaseError } = await import('@gatehouse/schema');
  const is = (name: string, value: RegExp) => value.test(env[name]?.trim() ?? '');
  const pooled = is('DATABASE_POOLER', /^transaction$/);
  const otherLogin = is('DATABASE_SET_ROLE', /^(?:false|0)$/);
  const namedStatements = !is('DATABASE_PREPARED_STATEMENTS', /^(?:false|0)$/);
  try {
    const { pool, close } = connect({
      url,
      service,
      poolMax: 2,
      applicationName: 'gatehouse-doctor',
      loginRoles: otherLogin,
      pooled,
      namedStatements,
    });
    try {
      const faults = await checkSessions(pool, { service, pooled, namedStatements, otherLogin });
      return faults.length === 0 ? [ok(NAME, service)] : faults.map(ofFault);
    } finally {
      await close();
    }
  } catch (error) {
    const explained = explainDatabaseError(error);
    if (explained === undefined) throw error;
    return [ofFault({ fatal: true, text: explained })];
  }
}

async function examineDirect(env: KnownSettings['env']): Promise<Check> {
  const setting = 'DATABASE_DIRECT_URL';
  const url = env[setting]?.trim();
  if (!url)
    return warning(NAME, `${setting} is not set here`, {
      remedy: 'migrations, backup, restore and break-glass need it: the owner’s login, straight to Postgres',
    });
  const { connect, explainDatabaseError, sharesConnections } = await import('@gatehouse/schema');
  const { pool, close } = connect({ url, service: 'auth', poolMax: 2, pooled: true });
  try {
    if (!(await sharesConnections(pool))) return ok(NAME, 'direct');
    return failed(NAME, `${setting} leads to a pooler too`, { remedy: 'let it lead straight to Postgres' });
  } catch (error) {
    const explained = explainDatabaseError(error);
    if (explained === undefined) throw error;
    return ofFault({ fatal: true, text: `${setting}, ${explained}` });
  } finally {
    await close();
  }
}

function ofFault({ fatal, text }: SessionFault): Check {
  const at = text.indexOf(': ');
  const [finding, remedy] = [text.slice(0, at), text.slice(at + 2)];
  return fatal ? failed(NAME, finding, { remedy }) : warning(NAME, finding, { remedy });
}
