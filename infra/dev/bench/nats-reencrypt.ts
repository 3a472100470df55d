import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Installation } from '@gatehouse/embedded';
import { parseKeyring } from '@gatehouse/kit';
import { createNkey } from '@gatehouse/nats-claims';
import pg from 'pg';
import { type Measurement, onInstallation, post } from './bench.ts';
import { type LoadResult, makeLoad } from './load.ts';
import { identities } from './nats-credentials.ts';
import { ms, rate } from './report.ts';

const records = 50_000;
/** A steady load well below what one process can do: what is measured is what re-encryption adds to it. */
const issuedPerSecond = 200;
const key = () => randomBytes(32).toString('base64');

/**
 * Every sealed record goes from one ring key to another while credentials are issued; then back again, with the process
 * killed in the middle. Beside it the same load without re-encryption, in the same run.
 */
export const natsReencrypt: Measurement = async ({ seconds, say }) => {
  say('re-encryption');
  const ring = `k1:${key()},k2:${key()}`;
  const env = { ENCRYPTION_KEYS: ring, ENCRYPTION_CURRENT_KEY_ID: 'k1' };
  return onInstallation({ env }, async (installation) => {
    const { url } = installation;
    const { token, paths } = await identities(installation);
    await sealRecords(installation, ring);
    const load = {
      url,
      kind: 'post' as const,
      connections: 16,
      rate: issuedPerSecond,
      paths,
      tokens: [token],
    };
    const issue = () => makeLoad({ ...load, seconds });
    await issue(); // warms up
    const idle = await issue();
    say(`  idle: ${rate(idle.ok.perSecond)} issued, p99 ${ms(idle.ok.p99)}`);

    await begin(url, token, 'k2');
    const beside: LoadResult[] = [];
    do beside.push(await issue());
    while ((await runOf(url, token)).state === 'running');
    const run = await runOf(url, token);
    const took = (Date.parse(run.finished_at ?? '') - Date.parse(run.started_at)) / 1000;
    const failed = beside.reduce((sum, one) => sum + failedOf(one), 0);
    for (const { refused } of beside)
      for (const [status, { count }] of Object.entries(refused)) say(`  ${count} answered ${status}`);
    const p99 = Math.max(...beside.map(({ ok }) => ok.p99));
    say(`  ${run.state}: ${run.rewrapped} records in ${took.toFixed(1)} s, p99 ${ms(p99)}, failed ${failed}`);

    const after = await killedInTheMiddle(installation, token);
    say(`  killed with ${after.atKill} to go; then ${after.state}, ${after.left} left`);
    return [
      {
        what: `re-encryption of ${records} records, each opened in the end`,
        value: `${took.toFixed(1)} s, ${rate(run.rewrapped / took)}, ${failed} requests failed`,
        raw: '',
        ratio: undefined,
        bar: 'all, 0 failed',
        met: run.state === 'done' && run.rewrapped >= records && failed === 0,
      },
      {
        what: `credentials at ${issuedPerSecond}/s beside it: worst p99`,
        value: ms(p99),
        raw: `${ms(idle.ok.p99)} (the same without it)`,
        ratio: p99 / idle.ok.p99,
        bar: '≤ 50 ms',
        met: p99 <= 50,
      },
      {
        what: 'the same back again, killed with -9 in the middle',
        value: `${after.state}; ${after.atKill} to go when killed, ${after.left} left`,
        raw: '',
        ratio: undefined,
        bar: 'done, 0 left',
        met: after.state === 'done' && after.atKill > 0 && after.left === 0,
      },
    ];
  });
};

const failedOf = ({ ok, refused }: LoadResult): number =>
  ok.errors + Object.values(refused).reduce((sum, one) => sum + one.count, 0);

/** Records as the service makes them, under k1, without the detour of 50,000 requests. */
async function sealRecords(installation: Installation, ring: string): Promise<void> {
  const keyring = parseKeyring(ring, 'k1');
  const client = new pg.Client({ connectionString: installation.databaseUrl });
  await client.connect();
  try {
    for (let done = 0; done < records; done += 5_000) {
      const rows = Array.from({ length: Math.min(5_000, records - done) }, () => {
        const [id, user] = [randomUUID(), createNkey('user')];
        const owner = { kind: 'natsid.user', recordId: id, publicId: user.publicKey };
        return { id, public_key: user.publicKey, sealed: keyring.seal(user.seed(), owner) };
      });
      await client.query(
        `insert into natsid.secret (id, kind, public_key, sealed, key_id)
         select id, 'user', public_key, sealed, 'k1'
         from jsonb_to_recordset($1::jsonb) as r (id uuid, public_key text, sealed text)`,
        [JSON.stringify(rows)],
      );
    }
    await client.query('vacuum analyze natsid.secret');
  } finally {
    await client.end();
  }
}

/** Lets a key seal, and brings every record under it. */
async function begin(url: string, token: string, keyId: string): Promise<void> {
  await post(url, `/api/nats/encryption/keys/${keyId}/primary`, {}, token);
  await post(url, '/api/nats/encryption/reencrypt', {}, token);
}

interface Run {
  readonly state: string;
  readonly phase: string;
  readonly rewrapped: number;
  readonly started_at: string;
  readonly finished_at: string | null;
}

interface Encryption {
  readonly keys: readonly { readonly id: string; readonly records: number }[];
  readonly reencryption: Run;
}

async function encryptionOf(url: string, token: string): Promise<Encryption> {
  const answer = await fetch(new URL('/api/nats/encryption', url), {
    headers: { authorization: `Bearer ${token}` },
  });
  if (!answer.ok) throw new Error(`/api/nats/encryption answered ${answer.status}`);
  return (await answer.json()) as Encryption;
}

const runOf = async (url: string, token: string): Promise<Run> =>
  (await encryptionOf(url, token)).reencryption;

const recordsOf = ({ keys }: Encryption, id: string): number =>
  keys.find((one) => one.id === id)?.records ?? Number.NaN;

async function killedInTheMiddle(installation: Installation, token: string) {
  const { url } = installation;
  await begin(url, token, 'k1');
  let seen = await encryptionOf(url, token);
  while (recordsOf(seen, 'k2') > records / 2) {
    await delay(100);
    seen = await encryptionOf(url, token);
  }
  await installation.killService('all-in-one');
  const atKill = recordsOf(seen, 'k2');
  await installation.startService('all-in-one');
  do {
    await delay(500);
    seen = await encryptionOf(url, token);
  } while (seen.reencryption.state === 'running');
  return { state: seen.reencryption.state, atKill, left: recordsOf(seen, 'k2') };
}
