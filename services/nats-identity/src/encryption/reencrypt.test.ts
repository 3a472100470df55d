import { spawn } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { apiOf, eventually, goodPassword, newEmail } from '@gatehouse/kit/testing';
import { createNkey } from '@gatehouse/nats-claims';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ringOf, startEncryption, type TestEncryption } from '../encryption-testing.ts';

/** For thousands of records on a machine that has other things to do: re-encryption gives way to them. */
const LONG_MS = 120_000;

let ring: TestEncryption;
beforeEach(async () => {
  ring = await startEncryption();
});
afterEach(async () => {
  await ring.close();
});

/** The first process ends and comes back with both keys; k2 seals. Returns its address. */
async function withBoth(): Promise<string> {
  await ring.platform.stop();
  const process = await ring.another(ringOf(ring.keys, 'k2'));
  expect((await at(process.url, 'GET', '')).body.primary).toBe('k2');
  return process.url;
}
const at = (url: string, method: string, path: string, body?: unknown) => ring.ask(method, path, body, url);
const ended = (url: string) =>
  eventually(async () => {
    const { reencryption } = (await at(url, 'GET', '')).body;
    return reencryption.state === 'running'
      ? Promise.reject(new Error(JSON.stringify(reencryption)))
      : reencryption;
  }, 60_000);
const begin = async (url: string) => {
  const answer = await at(url, 'POST', '/reencrypt', { reason: 'a drill' });
  expect(answer.status, answer.text).toBe(202);
  return answer.body.reencryption;
};

describe('re-encryption', () => {
  test(
    'beside traffic: every record of every service goes to the key that seals, the old one drains and can go',
    async () => {
      await ring.seal(600, 'k1');
      const url = await withBoth();
      const early = await at(url, 'DELETE', '/keys/k1');
      expect([early.status, early.body]).toMatchObject([
        409,
        { code: 'key_in_use', records: 603, records_by_service: { 'nats-identity': 601, token: 2 } },
      ]);
      const dry = await at(url, 'POST', '/reencrypt?dry_run=true', {});
      expect(dry.body).toMatchObject({ reencryption: { total: 603 }, change: { dry_run: true } });
      expect((await at(url, 'GET', '')).body.reencryption).toBeNull();

      const run = await begin(url);
      expect((await begin(url)).id).toBe(run.id);
      // Traffic meanwhile: people sign in, every record opens at every moment, and somebody who has not heard yet of the
      // new key still seals under the old one.
      await ring.seal(20, 'k1');
      const api = apiOf(url);
      const statuses: number[] = [];
      const done = await eventually(async () => {
        await ring.openSome(20);
        const person = { email: newEmail(), password: goodPassword };
        statuses.push((await api.post('/api/auth/register', person)).status);
        statuses.push((await api.post('/api/auth/login', person)).status);
        const { reencryption } = (await at(url, 'GET', '')).body;
        return reencryption.state === 'running' ? Promise.reject(new Error('runs')) : reencryption;
      }, 60_000);
      expect(new Set(statuses)).toEqual(new Set([201, 200]));
      expect(done).toMatchObject({ id: run.id, state: 'done', error: null });
      expect(done.rewrapped).toBeGreaterThanOrEqual(603);
      expect(await ring.records()).toEqual({ k2: 621 });
      expect(
        await ring.sql(`select distinct split_part(private_sealed, '.', 2) as id from token.signing_key`),
      ).toEqual([{ id: 'k2' }]);
      expect(await ring.told('natsid.encryption.reencrypted')).toMatchObject([
        { data: { key_id: 'k2', actor_id: ring.root.userId } },
      ]);

      // Not drained at once: somebody may still have a record under way.
      expect((await at(url, 'DELETE', '/keys/k1')).body).toMatchObject({
        code: 'key_in_use',
        state: 'retiring',
      });
      await ring.aged();
      await eventually(async () => (await ring.told('natsid.encryption.drained')).length === 1);
      const gone = await at(url, 'DELETE', '/keys/k1?reason=done');
      expect(gone.body.key).toMatchObject({ state: 'destroyed', records: 0 });
      expect(await ring.told('natsid.encryption.destroyed')).toMatchObject([{ data: { reason: 'done' } }]);
      expect((await at(url, 'POST', '/keys/k1/primary', {})).body.code).toBe('conflict');
      // Without k1 a process starts, and opens everything.
      const without = await ring.another(ringOf({ k2: ring.keys.k2 }, 'k2'));
      await begin(without.url);
      expect(await ended(without.url)).toMatchObject({ state: 'done', verified: 621 });
    },
    LONG_MS,
  );

  test(
    'goes on where it stood when its process is killed with -9 in the middle',
    async () => {
      const count = 3_000;
      await ring.seal(count, 'k1');
      await ring.platform.stop();
      const env = { ...ring.platform.env, ...ringOf(ring.keys, 'k2'), PORT: '0', PATH: process.env.PATH };
      const victim = spawn(process.execPath, [join(import.meta.dirname, '../victim-testing.ts')], {
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      try {
        const url = await new Promise<string>((resolve, reject) => {
          victim.stdout.once('data', (chunk) => resolve(String(chunk).trim()));
          victim.once('exit', (code) => reject(new Error(`the victim ended with ${code}`)));
        });
        const { id } = await begin(url);
        await eventually(async () => ((await ring.records()).k2 ?? 0) >= 300);
        victim.kill('SIGKILL');
        const between = await eventually(async () => {
          const [row] = await ring.sql<{ rewrapped: string; cursor_id: string; state: string }>(
            'select rewrapped, cursor_id, state from natsid.reencryption',
          );
          return row ?? Promise.reject(new Error('no run'));
        });
        expect(between.state).toBe('running');
        const records = await ring.records();
        expect(records.k1).toBeGreaterThan(0);
        // The count and the walk stand in the same transaction as the records.
        expect(Number(between.rewrapped)).toBe(records.k2);
        const heir = await ring.another(ringOf(ring.keys, 'k2'));
        expect(await ended(heir.url)).toMatchObject({ id, state: 'done', rewrapped: count + 3 });
        expect(await ring.records()).toEqual({ k2: count + 1 });
      } finally {
        victim.kill('SIGKILL');
      }
    },
    LONG_MS,
  );

  test(
    'is shared by several processes, none of which does a record twice',
    async () => {
      await ring.seal(1_000, 'k1');
      const url = await withBoth();
      const other = await ring.another(ringOf(ring.keys, 'k2'));
      await begin(other.url);
      expect(await ended(url)).toMatchObject({ state: 'done', rewrapped: 1_003, verified: 1_001 });
    },
    LONG_MS,
  );

  test('stops at the first record that does not open, and names it: a text that was moved to another row', async () => {
    const [first, second] = await ring.seal(2, 'k1');
    await ring.sql(
      `update natsid.secret s set sealed = o.sealed from natsid.secret o
       where (s.id, o.id) in (($1::uuid, $2::uuid), ($2::uuid, $1::uuid))`,
      [first, second],
    );
    const url = await withBoth();
    await begin(url);
    const run = await ended(url);
    expect(run.state).toBe('failed');
    expect([first, second].some((id) => run.error.startsWith(`record ${id}: sealed text was changed`))).toBe(
      true,
    );
    expect(await ring.told('natsid.encryption.failed')).toMatchObject([{ data: { key_id: 'k1' } }]);
    expect((await ring.records()).k1).toBeGreaterThanOrEqual(2);
    await ring.sql('delete from natsid.secret where id = any($1)', [[first, second]]);
    await begin(url);
    expect(await ended(url)).toMatchObject({ state: 'done' });
  });

  test('opens everything in the end: a damaged seed and the seed of another key are found', async () => {
    const [damaged] = await ring.seal(1, 'k1');
    const url = await withBoth();
    await ring.sql(
      `update natsid.secret set sealed = regexp_replace(sealed, '[^.]{4}$', 'AAAA') where id = $1`,
      [damaged],
    );
    await begin(url);
    const run = await ended(url);
    expect(run).toMatchObject({ state: 'failed', phase: 'verify' });
    expect(run.error).toContain(damaged);
  });

  test('what NIS had sealed is sealed anew at once, when its seed is the row’s', async () => {
    const nis = (plaintext: Buffer): string => {
      const nonce = randomBytes(12);
      const key = Buffer.from(ring.keys.k1, 'base64');
      const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
      const text = Buffer.concat([cipher.update(plaintext), cipher.final()]);
      return `encrypted:k1:${Buffer.concat([nonce, text, cipher.getAuthTag()]).toString('base64')}`;
    };
    const [own, other] = await ring.seal(2, 'k1');
    const key = createNkey('user');
    await ring.sql('update natsid.secret set sealed = $2, public_key = $3 where id = $1', [
      own,
      nis(key.seed()),
      key.publicKey,
    ]);
    await ring.sql('update natsid.secret set sealed = $2 where id = $1', [other, nis(key.seed())]);
    const sealedOf = async (id: string | undefined) =>
      (await ring.sql<{ sealed: string }>('select sealed from natsid.secret where id = $1', [id]))[0]?.sealed;
    await eventually(async () => (await sealedOf(own))?.startsWith('gs1.k1.') === true);
    expect(await sealedOf(other)).toMatch(/^encrypted:k1:/);
  });
});
