import { EmbeddedError, reasonOf } from '@gatehouse/embedded';
import type { PublicBus } from '@gatehouse/nats-claims';
import pg from 'pg';

const CONNECT_TIMEOUT_MS = 5_000;

/**
 * What the servers of the platform's own bus should start with, as the services that own it have it now; undefined while
 * they have not taken it over. nats-server reads its operator when it starts, and never again: a signing key that was
 * added since counts from the next start on.
 */
export async function ownBus(databaseUrl: string): Promise<PublicBus | undefined> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  try {
    await client.connect();
    const { rows } = await client.query<Record<'operator' | 'sys_key' | 'sys' | 'own_key' | 'own', string>>(`
      select o.jwt as operator, s.public_key as sys_key, s.jwt as sys, p.public_key as own_key, p.jwt as own
      from natsid.operator o
      join natsid.account s on s.id = o.system_account_id
      join natsid.account p on p.operator_id = o.id and p.kind = 'platform' and p.state = 'active'
      where o.own`);
    const [row] = rows;
    if (row === undefined) return undefined;
    return {
      version: 1,
      operator_jwt: row.operator,
      system_account: { public_key: row.sys_key, jwt: row.sys },
      account: { public_key: row.own_key, jwt: row.own },
    };
  } catch (error) {
    throw new EmbeddedError(`cannot look for the bus in the database: ${reasonOf(error)}`);
  } finally {
    await client.end().catch(() => {});
  }
}
