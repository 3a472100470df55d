import { auth } from '@gatehouse/auth';
import { findFreePort } from '@gatehouse/embedded';
import { createLog, type Running, run } from '@gatehouse/kit';
import {
  apiOf,
  eventually,
  goodPassword,
  newEmail,
  startPlatform,
  type TestPlatform,
} from '@gatehouse/kit/testing';
import { token } from '@gatehouse/token';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newEncryptionKey, ringOf } from '../encryption-testing.ts';
import { natsIdentity } from '../service.ts';

/** nats-identity is a process of its own; auth and token are another one. */
const keys = { k1: newEncryptionKey(), k2: newEncryptionKey() };
const onlyK1 = ringOf({ k1: keys.k1 }, 'k1');
const both = ringOf(keys, 'k2');
let people: TestPlatform;
let nats: Running;
let port: number;

const sql = <Row extends object>(text: string, values: unknown[] = []) =>
  people.database.query<Row & Record<string, unknown>>(text, values);
const startNats = async (overrides: Record<string, string> = onlyK1) => {
  const elsewhere = { PORT: String(port), AUTH_URL: people.url, TOKEN_URL: people.url };
  const env = { ...people.env, ...elsewhere, ...overrides };
  nats = await run([natsIdentity], { env, log: createLog({ level: 'silent', pretty: false }) });
};
const states = async () => {
  const rows = await sql<{ id: string; state: string }>('select id, state from natsid.encryption_key');
  return Object.fromEntries(rows.map(({ id, state }) => [id, state]));
};
const instances = () =>
  sql<{ service: string; key_ids: string[]; wanted_key_id: string }>(
    'select service, key_ids, wanted_key_id from natsid.encryption_instance order by service',
  );
/** The ring key of the signing key that token makes next. */
const sealsUnder = async (): Promise<string> => {
  await sql(`delete from token.signing_key where state = 'next'`);
  return eventually(async () => {
    const [row] = await sql<{ id: string }>(
      `select split_part(private_sealed, '.', 2) as id from token.signing_key where state = 'next'`,
    );
    return row?.id ?? Promise.reject(new Error('no next key yet'));
  }, 20_000);
};

beforeEach(async () => {
  port = await findFreePort();
  people = await startPlatform([auth, token], {
    ...onlyK1,
    MAX_CONCURRENT_HASHES: '8',
    NATS_IDENTITY_URL: `http://127.0.0.1:${port}`,
  });
  await startNats();
});
afterEach(async () => {
  await nats.stop();
  await people.close();
});

describe('a process that seals elsewhere', { timeout: 120_000 }, () => {
  test('counts among those that must hold a key before it seals, and then seals under it', async () => {
    await eventually(async () =>
      expect(await instances()).toMatchObject([{}, { service: 'token', key_ids: ['k1'] }]),
    );
    await nats.stop();
    expect(await instances()).toHaveLength(1);
    await startNats(both);
    expect(await states()).toEqual({ k1: 'primary', k2: 'staged' });
    expect(await sealsUnder()).toBe('k1');
    // Stops in order and is gone at once; comes back with both, before token's first key could be sealed.
    people = await people.restart(both);
    await eventually(async () => expect(await states()).toEqual({ k1: 'retiring', k2: 'primary' }));
    await eventually(async () => expect(await sealsUnder()).toBe('k2'), 20_000);
  });

  test('starts and signs people in without nats-identity, and follows it when it is back', async () => {
    await nats.stop();
    people = await people.restart(both);
    const person = { email: newEmail(), password: goodPassword };
    const api = apiOf(people.url);
    expect((await api.post('/api/auth/register', person)).status).toBe(201);
    expect((await api.post('/api/auth/login', person)).status).toBe(200);
    // Nobody has told it otherwise: what its settings say.
    expect(await sealsUnder()).toBe('k2');
    await startNats(onlyK1);
    await eventually(async () => expect(await sealsUnder()).toBe('k1'), 20_000);
    expect(await states()).toEqual({ k1: 'primary', k2: 'staged' });
  });

  test('does not start with another value under a known name', async () => {
    const changed = ringOf({ k1: newEncryptionKey() }, 'k1');
    await sql('delete from token.signing_key');
    const attempt = run([auth, token], {
      env: { ...people.env, ...changed, PORT: '0' },
      log: createLog({ level: 'silent', pretty: false }),
    });
    await expect(attempt).rejects.toThrow(/the value of key k1 is not the one/);
  });

  test('keeps a re-encryption waiting while it is away, and has its records done when it is back', async () => {
    await nats.stop();
    people = await people.restart(both);
    await startNats(both);
    await eventually(async () => expect(await states()).toEqual({ k1: 'retiring', k2: 'primary' }));
    const { env } = people;
    await people.stop();
    await sql(
      `insert into natsid.reencryption (id, to_key_id, state) values (gen_random_uuid(), 'k2', 'running')`,
    );
    await eventually(async () =>
      expect(await sql('select state, phase, error from natsid.reencryption')).toEqual([
        { state: 'running', phase: 'services', error: 'token does not answer; it is asked again' },
      ]),
    );
    const back = await run([auth, token], {
      env: { ...env, ...both, PORT: new URL(people.url).port },
      log: createLog({ level: 'silent', pretty: false }),
    });
    try {
      await eventually(async () =>
        expect(await sql('select state, error from natsid.reencryption')).toEqual([
          { state: 'done', error: null },
        ]),
      );
      expect(
        await sql(`select distinct split_part(private_sealed, '.', 2) as id from token.signing_key`),
      ).toEqual([{ id: 'k2' }]);
    } finally {
      await back.stop();
    }
  });
});
