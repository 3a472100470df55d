// The raw limit of writing credentials: the ledger's row and its event, a statement each, through pg as a named
// statement, on a migrated database of its own in the same Postgres. Prints rows a second.
import { randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';

const [url = '', secondsText = '8', lanesText = '8'] = process.argv.slice(2);
const seconds = Number(secondsText);
const lanes = Number(lanesText);
const pool = new pg.Pool({
  connectionString: url,
  max: lanes,
  options: '-c search_path=natsid -c jit=off',
});

const [operator, account] = [randomUUID(), randomUUID()];
await pool.query(
  `insert into operator (id, name, public_key, jwt, jwt_iat) values ($1::uuid, $1::text, $1::text, '', 1)`,
  [operator],
);
await pool.query(
  `insert into account (id, operator_id, name, public_key, jwt, jwt_iat, jwt_sha256, issuer_key)
   values ($1::uuid, $2, $1::text, $1::text, '', 1, '', '')`,
  [account, operator],
);

const text = `
with issued as (
  insert into credential (id, user_id, account_id, public_key, issuer_key, jti, jwt_sha256, iat, expires_at, issued_by)
  values ($1, $2, $3, 'U', 'A', $4, $5, 1, now() + interval '30 days', 'bench')
)
insert into outbox (id, type, subject, tenant_id, aggregate, data)
values ($6, 'natsid.credentials.issued', 'natsid.credentials.issued', null, 'nats_user:' || $2,
  jsonb_build_object('account_id', $3::uuid, 'nats_user_id', $2::uuid, 'credential_id', $1::uuid))`;

async function write(): Promise<void> {
  const jti = randomBytes(16).toString('base64url');
  const values = [randomUUID(), randomUUID(), account, jti, randomBytes(32), randomUUID()];
  await pool.query({ name: 'raw-credential', text, values });
}

for (let at = 0; at < lanes; at += 1) await write();
let done = 0;
const begun = performance.now();
await Promise.all(
  Array.from({ length: lanes }, async () => {
    while (performance.now() - begun < seconds * 1000) {
      await write();
      done += 1;
    }
  }),
);
console.log(done / ((performance.now() - begun) / 1000));
await pool.end();
