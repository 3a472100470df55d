import { credentialHeader } from '@gatehouse/kit';
import { eventually } from '@gatehouse/kit/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newEncryptionKey, ringOf, startEncryption, type TestEncryption } from '../encryption-testing.ts';

let ring: TestEncryption;
beforeEach(async () => {
  ring = await startEncryption();
});
afterEach(async () => {
  await ring.close();
});

const instances = () => ring.sql('select instance_id, key_ids from natsid.encryption_instance');

describe('the key ring', () => {
  test('of a first start: its key seals at once, is told, and is shown with who holds it and what needs it', async () => {
    const shown = await ring.show();
    expect(shown).toMatchObject({
      primary: 'k1',
      waiting: null,
      reencryption: null,
      instances: [{ key_ids: ['k1'], wanted_key_id: 'k1', service: 'nats-identity' }],
    });
    expect(shown.keys).toMatchObject([
      { id: 'k1', state: 'primary', records: 3, records_by_service: { 'nats-identity': 1, token: 2 } },
    ]);
    expect(shown.keys[0].held_by).toEqual([shown.instances[0].instance_id]);
    expect(JSON.stringify(shown)).not.toContain(ring.keys.k1);
    expect(await ring.told('natsid.encryption.staged')).toMatchObject([{ data: { key_id: 'k1' } }]);
    expect(await ring.told('natsid.encryption.primary')).toMatchObject([
      { data: { key_id: 'k1', former: null } },
    ]);
  });

  test('is the platform’s administrators’ business only', async () => {
    const admin = await ring.tenantAdmin();
    const requests = [
      ['GET', ''],
      ['POST', '/keys/k1/primary', {}],
      ['POST', '/reencrypt', {}],
      ['DELETE', '/keys/k1'],
    ] as const;
    for (const [method, path, body] of requests) {
      const url = `/api/nats/encryption${path}`;
      expect((await ring.api.request(method, url, body, { token: admin.token })).status).toBe(403);
      expect((await ring.api.request(method, url, body)).status).toBe(401);
    }
    expect((await ring.ask('POST', '/keys/k9/primary', {})).body.code).toBe('not_found');
    expect((await ring.ask('DELETE', '/keys/k9')).body.code).toBe('not_found');
    expect((await ring.ask('POST', '/keys/..%2f/primary', {})).body.code).toBe('invalid_request');
  });

  test('refuses a start with a key whose value changed, by its name, and forgets that process', async () => {
    const changed = newEncryptionKey();
    const attempt = ring.another(ringOf({ k1: changed }, 'k1'));
    await expect(attempt).rejects.toThrow(/ENCRYPTION_KEYS: the value of key k1 is not the one/);
    await expect(attempt).rejects.not.toThrow(changed);
    expect(await instances()).toHaveLength(1);
  });

  test('refuses a start without a key that records need, with their number; its loss can be accepted', async () => {
    await ring.seal(7, 'k1');
    const without = ringOf({ k2: ring.keys.k2 }, 'k2');
    await expect(ring.another(without)).rejects.toThrow(
      /ENCRYPTION_KEYS lacks k1, which 8 stored records need: put it back/,
    );
    expect(await instances()).toHaveLength(1);
    expect((await ring.show()).keys).toHaveLength(1);
    // Everything with k1 is gone, and the operator says so.
    await ring.platform.stop();
    await ring.sql('update token.signing_key set private_sealed = null, state = $1', ['retired']);
    await ring.another({ ...without, ENCRYPTION_LOST_KEYS: 'k1' });
    expect(await ring.sql('select id, state from natsid.encryption_key order by id')).toEqual([
      { id: 'k1', state: 'retiring' },
      { id: 'k2', state: 'primary' },
    ]);
    expect(await ring.records()).toEqual({ k1: 7, k2: 1 });
  });

  test('made safe: the guide’s one restart, process by process, and nobody seals what another cannot open', async () => {
    const both = ringOf(ring.keys, 'k2');
    const second = await ring.another();
    const third = await ring.another(both);
    const lacking = (await ring.show()).instances.filter(
      (one: { key_ids: string[] }) => one.key_ids.length === 1,
    );
    expect(lacking).toHaveLength(2);
    const refused = await ring.ask('POST', '/keys/k2/primary', {}, third.url);
    expect([refused.status, refused.body.code]).toEqual([409, 'key_not_everywhere']);
    expect(new Set(refused.body.instances.map((one: { instance_id: string }) => one.instance_id))).toEqual(
      new Set(lacking.map((one: { instance_id: string }) => one.instance_id)),
    );
    expect(await ring.show()).toMatchObject({
      primary: 'k1',
      waiting: { key_id: 'k2', because: 'lacking' },
    });
    await second.stop();
    const again = await ring.another(both);
    expect(await ring.show()).toMatchObject({ primary: 'k1', waiting: { key_id: 'k2' } });
    expect(await ring.told('natsid.encryption.primary', { key_id: 'k2' })).toEqual([]);
    // The first process too: now every one that lives holds k2.
    await ring.platform.stop();
    const { body } = await eventually(async () => {
      const answer = await ring.ask('GET', '', undefined, again.url);
      return answer.body.primary === 'k2' ? answer : Promise.reject(new Error(answer.text));
    });
    expect(body).toMatchObject({
      waiting: null,
      keys: [
        { id: 'k1', state: 'retiring' },
        { id: 'k2', state: 'primary' },
      ],
    });
    expect(await ring.told('natsid.encryption.primary', { key_id: 'k2' })).toMatchObject([
      { data: { former: 'k1', actor_id: null } },
    ]);
  });

  test('has no primary that only some process holds, however commands and starts race', async () => {
    const both = ringOf(ring.keys, 'k1');
    await ring.platform.stop();
    const holder = await ring.another(both);
    const [promoted, joined] = await Promise.allSettled([
      ring.ask('POST', '/keys/k2/primary', {}, holder.url),
      ring.another(),
    ]);
    // Whoever came first, never both: a process without the key that seals does not start.
    const done = promoted.status === 'fulfilled' && promoted.value.status === 200;
    expect(done).toBe(joined.status === 'rejected');
    if (joined.status === 'rejected') expect(joined.reason.message).toMatch(/ENCRYPTION_KEYS lacks k2/);
  });
});

describe('the health of the ring', () => {
  const health = async () => {
    const { body } = await ring.platform.api.request(
      'POST',
      '/internal/nats-identity/health',
      {},
      { headers: { [credentialHeader]: ring.credential } },
    );
    return body.components.find((one: { name: string }) => one.name === 'encryption_keys');
  };

  test('is good while the canary opens, and says what somebody has to do', async () => {
    expect(await health()).toMatchObject({
      status: 'healthy',
      details: { primary: 'k1', key_count: 1, canary: 'opens' },
    });
    const third = await ring.another(ringOf(ring.keys, 'k2'));
    expect(await health()).toMatchObject({
      status: 'degraded',
      details: {
        waiting: { key_id: 'k2', because: 'lacking' },
        waiting_for: [{ service: 'nats-identity', instance_id: expect.any(String) }],
      },
    });
    await third.stop();
    expect(await health()).toMatchObject({ status: 'healthy' });
    await ring.sql(`update natsid.secret set sealed = regexp_replace(sealed, '[^.]{4}$', 'AAAA')`);
    expect(await health()).toMatchObject({ status: 'unhealthy', details: { canary: 'does not open' } });
  });

  test('counts a process that died without a word for half a minute only', async () => {
    await ring.sql(
      `insert into natsid.encryption_instance (instance_id, service, key_ids, wanted_key_id)
       values (gen_random_uuid(), 'nats-identity', '{k1}', 'k1')`,
    );
    await ring.platform.stop();
    const both = await ring.another(ringOf(ring.keys, 'k2'));
    const primary = async () => (await ring.ask('GET', '', undefined, both.url)).body.primary;
    expect(await primary()).toBe('k1');
    await ring.sql(
      `update natsid.encryption_instance set seen_at = now() - interval '31 seconds' where key_ids = '{k1}'`,
    );
    await eventually(async () => expect(await primary()).toBe('k2'));
  });

  test('a dry run of a switch shows it and changes nothing; a command brings back what no setting does', async () => {
    await ring.platform.stop();
    const { url } = await ring.another(ringOf(ring.keys, 'k2'));
    const dry = await ring.ask('POST', '/keys/k1/primary?dry_run=true', {}, url);
    expect([dry.status, dry.body]).toMatchObject([
      200,
      { former: 'k2', key: { id: 'k1', state: 'retiring' }, change: { dry_run: true } },
    ]);
    expect((await ring.ask('POST', '/keys/k1/primary', { reason: 'back' }, url)).body).toMatchObject({
      former: 'k2',
      key: { state: 'primary' },
    });
    expect(await ring.told('natsid.encryption.primary', { key_id: 'k1', former: 'k2' })).toMatchObject([
      { data: { reason: 'back', actor_id: ring.root.userId } },
    ]);
    // The setting still names k2, and is not stronger than the command: not now, and not after a restart.
    const again = await ring.another(ringOf(ring.keys, 'k2'));
    expect((await ring.ask('GET', '', undefined, again.url)).body).toMatchObject({
      primary: 'k1',
      waiting: { key_id: 'k2', because: 'was_primary' },
    });
  });

  test('is measured: records by the state of their key', async () => {
    await ring.seal(5, 'k1');
    await eventually(async () => {
      const { text } = await ring.api.get('/metrics');
      expect(text).toMatch(/nis_encryption_records\{state="primary"\} 8\n/);
      expect(text).toMatch(/nis_encryption_records\{state="retiring"\} 0\n/);
    }, 20_000);
  });
});
