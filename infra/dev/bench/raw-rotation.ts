// The raw limit of a refresh: the rotation as one statement for one token (spend it if token, session, user and tenant
// allow, mint the successor, write the outbox row) through pg, as named statements, on a migrated database of its own in
// the same Postgres, with the same planner settings. Prints rotations a second.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';

const [url = '', secondsText = '8', lanesText = '8'] = process.argv.slice(2);
const seconds = Number(secondsText);
const lanes = Number(lanesText);

const text = `
with spent as (
  update refresh_token as t set consumed_at = now(), consumed_ip = '127.0.0.1', consumed_agent = 'bench'
  from session s, subject u, tenant_state n
  where t.hash = $1 and t.consumed_at is null and t.expires_at > now()
    and s.id = t.family_id and coalesce(s.revoked_at, 'infinity') = 'infinity' and s.expires_at > now()
    and u.user_id = s.user_id and u.status = 'active' and n.tenant_id = s.tenant_id and n.status = 'active'
  returning t.family_id, t.generation, s.user_id, s.tenant_id, s.expires_at, u.roles
), minted as (
  insert into refresh_token (hash, family_id, generation, expires_at)
  select $2, family_id, generation + 1, least(now() + interval '14 days', expires_at) from spent
), logged as (
  insert into outbox (id, type, subject, tenant_id, aggregate, data)
  select $3, 'session.refreshed', 'session.refreshed', tenant_id, 'session:' || family_id,
    jsonb_build_object('user_id', user_id, 'session_id', family_id, 'generation', generation + 1) from spent
)
select family_id, generation, user_id, tenant_id, roles from spent`;

const planner = [
  'enable_seqscan',
  'enable_bitmapscan',
  'enable_hashjoin',
  'enable_mergejoin',
  'enable_material',
];
const pool = new pg.Pool({
  connectionString: url,
  max: lanes,
  options: `-c search_path=token -c jit=off ${planner.map((name) => `-c ${name}=off`).join(' ')}`,
});
const digest = (token: string) => createHash('sha256').update(token).digest();

const tenant = randomUUID();
await pool.query(`insert into tenant_state (tenant_id, status, version) values ($1, 'active', 1)`, [tenant]);

async function chain(): Promise<{ rotate(): Promise<void> }> {
  let token = randomBytes(32).toString('base64url');
  await pool.query(
    `with person as (
       insert into subject (user_id, tenant_id, status, roles, version) values ($2, $3, 'active', '{USER}', 1)
     ), opened as (
       insert into session (id, tenant_id, user_id, expires_at) values ($4, $3, $2, now() + interval '90 days')
     )
     insert into refresh_token (hash, family_id, generation, expires_at)
     values ($1, $4, 0, now() + interval '14 days')`,
    [digest(token), randomUUID(), tenant, randomUUID()],
  );
  return {
    async rotate() {
      const next = randomBytes(32).toString('base64url');
      const values = [digest(token), digest(next), randomUUID()];
      const { rowCount } = await pool.query({ name: 'raw-rotate', text, values });
      if (rowCount !== 1) throw new Error('a rotation missed');
      token = next;
    },
  };
}

const chains = await Promise.all(Array.from({ length: lanes }, chain));
for (const one of chains) await one.rotate();
let done = 0;
const begun = performance.now();
await Promise.all(
  chains.map(async (one) => {
    while (performance.now() - begun < seconds * 1000) {
      await one.rotate();
      done += 1;
    }
  }),
);
console.log(done / ((performance.now() - begun) / 1000));
await pool.end();
