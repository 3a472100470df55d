// The raw limit of a refresh: one statement (spend, mint, outbox row) through pg, as named statements, on a migrated
// database of its own in the same Postgres. Prints rotations a second.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';

const [url = '', secondsText = '8', lanesText = '8'] = process.argv.slice(2);
const seconds = Number(secondsText);
const lanes = Number(lanesText);

const text = `
with spent as (
  update refresh_token set consumed_at = now(), consumed_ip = '127.0.0.1', consumed_agent = 'bench'
  where hash = $1 and consumed_at is null and expires_at > now()
  returning family_id, generation
), minted as (
  insert into refresh_token (hash, family_id, generation, expires_at)
  select $2, family_id, generation + 1, now() + interval '14 days' from spent
), logged as (
  insert into outbox (id, type, subject, tenant_id, aggregate, data)
  select $3, 'session.refreshed', 'session.refreshed', null, family_id::text,
    jsonb_build_object('session_id', family_id, 'generation', generation + 1) from spent
)
select family_id, generation from spent`;

const pool = new pg.Pool({ connectionString: url, max: lanes, options: '-c search_path=token' });
const digest = (token: string) => createHash('sha256').update(token).digest();

async function chain(): Promise<{ rotate(): Promise<void> }> {
  let token = randomBytes(32).toString('base64url');
  await pool.query(
    `insert into refresh_token (hash, family_id, generation, expires_at) values ($1, $2, 0, now() + interval '14 days')`,
    [digest(token), randomUUID()],
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
