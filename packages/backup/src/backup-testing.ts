import { randomBytes, randomUUID } from 'node:crypto';
import type { TestDatabase } from '@gatehouse/kit/testing';
import pg from 'pg';

/** A database as these tests use it. */
export type AnyDatabase = Pick<TestDatabase, 'url' | 'query' | 'drop'>;

/** A database that nobody has migrated. */
export async function emptyDatabase(): Promise<AnyDatabase> {
  const server = process.env.TEST_POSTGRES_URL ?? '';
  const name = `b_${randomBytes(6).toString('hex')}`;
  const admin = async (statement: string) => {
    const client = new pg.Client({ connectionString: server });
    await client.connect();
    await client.query(statement).finally(() => client.end());
  };
  await admin(`create database ${name} template template0`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const pool = new pg.Pool({ connectionString: url.href, max: 2 });
  pool.on('error', () => {});
  return {
    url: url.href,
    query: async (text, values = []) => (await pool.query(text, [...values])).rows,
    async drop() {
      await pool.end();
      await admin(`drop database if exists ${name} with (force)`);
    },
  };
}

/** What text makes COPY and checksums stumble. */
export const awkward = 'tab\there\nnew line\\backslash \\N \\. "quote" {brace} é 漢字 🦉 \u0001\u007f';

/** Rows of every kind that the tables know; more audit events than one part of a backup holds with `events`. */
export async function fill(database: AnyDatabase, { events = 200 } = {}): Promise<void> {
  const { query } = database;
  const tenant = randomUUID();
  await query(`insert into auth.tenant (id, name) values ($1, $2)`, [tenant, awkward]);
  await query(
    `insert into auth.user_account (id, tenant_id, email, name, password_hash, version)
     select gen_random_uuid(), $1, 'u' || n || '@example.com', case n % 3 when 0 then null when 1 then '' else $2 end,
       '$argon2id$' || n, n + 5 from generate_series(1, 50) n`,
    [tenant, awkward],
  );
  await query(
    `insert into auth.dead_letter (consumer, type, subject, headers, payload, reason, deliveries)
     values ('c', 't', 's', $1, $2, $3, 1), ('c', 't', 's', '{}', '', '', 0)`,
    [JSON.stringify({ a: [1.5, null, awkward], big: '12345678901234567890' }), everyByte(6_000_000), awkward],
  );
  await query(
    `insert into token.subject (user_id, tenant_id, status, roles, version, updated_at)
     select id, tenant_id, 'active', array['USER', $1, ''], 1, '2024-02-29 23:59:59.123456+00' from auth.user_account`,
    [awkward],
  );
  await query(
    `insert into auth.outbox (id, type, subject, aggregate, data) select gen_random_uuid(), 't', 't', 'a', '{}' from generate_series(1, 7)`,
  );
  await query(`delete from auth.outbox where sequence > 5`);
  await fillNatsIdentity(database, tenant);
  await fillAudit(database, events);
}

const everyByte = (bytes: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, at) => at & 255));

/** An operator and its system account, which point at each other. */
async function fillNatsIdentity({ query }: AnyDatabase, tenant: string): Promise<void> {
  await query(
    `with s as (insert into natsid.secret (id, kind, public_key, sealed, key_id)
       values (gen_random_uuid(), 'operator', 'OABC', 'gs1.k1.a.b', 'k1') returning id),
     o as (insert into natsid.operator (id, name, public_key, secret_id, jwt, jwt_iat, system_account_id)
       select $1, 'op', 'OABC', id, 'jwt', 1, $2 from s returning id)
     insert into natsid.account (id, operator_id, tenant_id, name, public_key, issuer_key, jwt, jwt_sha256, jwt_iat)
       select $2, id, $3, 'SYS', 'AABC', 'OABC', 'jwt', '\\x00ff', 1 from o`,
    [randomUUID(), randomUUID(), tenant],
  );
}

/** In a month long past, in this one, and before every month there is a partition for. */
async function fillAudit({ query }: AnyDatabase, events: number): Promise<void> {
  await query(`select audit.ensure_partition('2025-03-01')`);
  await query(
    `insert into audit.event (chain, sequence, id, recorded_at, occurred_at, type, severity, source, data, client_ip,
       personal, personal_salt, personal_digest, content_hash, hash)
     select 'platform', n, gen_random_uuid(),
       case n % 3 when 0 then timestamptz '2025-03-04 05:06:07.089Z' when 1 then now() else timestamptz '2010-01-01Z' end,
       now(), 'auth.login.success', 'info', 'auth', jsonb_build_object('n', n, 'text', $1::text),
       case n % 4 when 0 then null when 1 then inet '2001:db8::1' else inet '192.0.2.1' end,
       case when n % 2 = 0 then jsonb_build_object('email', $1::text) end, '\\x00', '\\x01', sha256(n::text::bytea),
       sha256(n::text::bytea) from generate_series(1, $2::int) n`,
    [awkward, events],
  );
}
