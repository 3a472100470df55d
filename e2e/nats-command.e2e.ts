import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@gatehouse/kit/testing';
import { decodeJwt, parseCreds, readNscStore } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectSoon, connectWith } from './nats-client.ts';
import { auditEvent, newTenant, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';

// A newcomer's road with the real command: an account, a role, a user, creds, and messages on the platform's own bus.
let platform: Platform;
const { run, done, json, home, close } = gatehouseFor(() => platform);
const at = (name: string) => join(home, name);
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

beforeAll(async () => {
  platform = await startPlatform();
  await done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
});
afterAll(async () => {
  await platform?.close();
  close();
});

describe('a newcomer', () => {
  it('finds the platform’s own operator and cluster, healthy and in sync', async () => {
    const operators = await json(['operator', 'list']);
    expect(operators).toMatchObject([{ own: true, root_key: expect.any(String) }]);
    expect(await done(['operator', 'get', operators[0].name])).toContain(operators[0].public_key);
    expect(await done(['operator', 'get', operators[0].id, '--jwt'])).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const [cluster] = await json(['cluster', 'list']);
    expect(cluster).toMatchObject({ own: true });
    await eventually(async () => {
      expect(await done(['cluster', 'health', cluster.name])).toContain('healthy');
    }, 60_000);
    expect(await done(['cluster', 'sync', cluster.name])).toContain('in sync');
    expect(await json(['cluster', 'diff', cluster.name])).toMatchObject({ in_sync: true });
  });

  it('makes an account, a role and a user, and publishes with the creds: a file of mode 0600', async () => {
    const made = await json([
      'account',
      'create',
      'orders',
      '--conn',
      '10',
      '--jetstream-disk',
      '10MiB',
      '--reason',
      'shop',
    ]);
    expect(made).toMatchObject({
      name: 'orders',
      claims: { limits: { conn: 10, disk_storage: 10_485_760 } },
    });
    await done([
      ...['role', 'create', 'worker', '--account', 'orders', '--description', 'does the work'],
      ...['--allow-pub', 'orders.{{name()}}', '--allow-sub', 'orders.>', '--allow-sub', '_INBOX.>'],
    ]);
    const user = await json([
      'user',
      'create',
      'printer',
      '--account',
      'orders',
      '--role',
      'worker',
      '--tag',
      'floor:2',
    ]);
    expect(user).toMatchObject({ name: 'printer', role: 'worker' });
    const file = at('printer.creds');
    const said = await done([
      'user',
      'creds',
      'printer',
      '--account',
      'orders',
      '--ttl',
      '24h',
      '--output',
      file,
    ]);
    expect(said).toContain(file);
    expect(said).not.toMatch(/S[A-Z2-7]{57}|eyJ/);
    expect(mode(file)).toBe('600');
    const creds = readFileSync(file, 'utf8');
    const { exp, iat } = decodeJwt(parseCreds(creds)?.jwt ?? '');
    expect((exp ?? 0) - iat).toBe(86_400);
    const client = await connectSoon(platform, creds);
    expect(await client.mayPublish('orders.printer')).toBe(true);
    expect(await client.mayPublish('orders.other')).toBe(false);
    await client.close();
    await auditEvent(platform, { type: 'natsid.account.created' }, ({ data }) => data.reason === 'shop');
  });

  it('creds never take a file’s place unless told to, and go whole into a pipe', async () => {
    writeFileSync(at('mine'), 'mine');
    const before = (await json(['user', 'credentials', 'printer', '--account', 'orders'])).length;
    const refused = await run(['user', 'creds', 'printer', '--account', 'orders', '--output', at('mine')]);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('--force');
    expect(readFileSync(at('mine'), 'utf8')).toBe('mine');
    // Nothing was issued for nothing.
    expect((await json(['user', 'credentials', 'printer', '--account', 'orders'])).length).toBe(before);
    await done(['user', 'creds', 'printer', '--account', 'orders', '--output', at('mine'), '--force']);
    expect(mode(at('mine'))).toBe('600');
    expect(parseCreds(await done(['user', 'creds', 'printer', '--account', 'orders']))?.seed).toMatch(/^SU/);
    expect((await run(['user', 'creds', 'printer', '--ttl', '1h', '--expires', '2099-01-01'])).code).toBe(2);
  });

  it('a dry run says what would change and whom it reaches, and changes nothing', async () => {
    const args = ['account', 'update', 'orders', '--conn', '20'];
    const said = await done([...args, '--dry-run']);
    expect(said).toContain('nothing was changed');
    expect(said).toContain('limits.conn: 10 -> 20');
    expect(said).toMatch(/would reach 1 account.* 1 cluster/);
    expect((await json(['account', 'get', 'orders'])).claims.limits.conn).toBe(10);
    expect(await done(args)).toContain('limits.conn: 10 -> 20');
    expect((await json(['account', 'get', 'orders'])).claims.limits.conn).toBe(20);
    expect(
      await done(['role', 'update', 'worker', '--account', 'orders', '--deny-pub', 'x', '--dry-run']),
    ).toContain('live connections are closed');
  });

  it('a lost update is refused, unless forced; claims come as a patch too', async () => {
    const { revision } = await json(['account', 'get', 'orders']);
    const stale = ['--if-revision', String(revision)];
    await done(
      ['account', 'update', 'orders', '--claims', '-', ...stale],
      '{"mappings":{"a":[{"subject":"b"}]}}',
    );
    const refused = await run(['account', 'update', 'orders', '--conn', '30', ...stale]);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('precondition_failed');
    await done(['account', 'update', 'orders', '--conn', '30', ...stale, '--force']);
    expect((await json(['account', 'get', 'orders'])).claims).toMatchObject({ limits: { conn: 30 } });
    await done(['account', 'update', 'orders', '--unset', 'mappings']);
    expect((await json(['account', 'get', 'orders'])).claims.mappings).toBeUndefined();
  });

  it('claims that a server would refuse are named one by one, with exit code 1', async () => {
    const refused = await run(
      ['account', 'update', 'orders', '--claims', '-'],
      '{"nothing":1,"limits":{"conn":-5}}',
    );
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('invalid_claims');
    expect(refused.err).toMatch(/nothing: |limits\.conn: /);
    expect((await run(['account', 'update', 'orders', '--conn', 'ten'])).code).toBe(2);
    expect((await run(['account', 'update', 'orders'])).code).toBe(2);
  });

  it('a revoked user goes, its creds work no more, and new ones do after a restore', async () => {
    const creds = readFileSync(at('printer.creds'), 'utf8');
    const client = await connectWith(platform, creds);
    expect((await run(['user', 'revoke', 'printer', '--account', 'orders'])).code).toBe(2);
    await done(['user', 'revoke', 'printer', '--account', 'orders', '--reason', 'stolen', '--yes']);
    await eventually(async () => {
      const late = await connectWith(platform, creds).catch(() => undefined);
      await late?.close();
      expect(late).toBeUndefined();
    }, 30_000);
    await client.close();
    expect((await json(['user', 'list', '--account', 'orders', '--state', 'revoked'])).length).toBe(1);
    expect(await done(['account', 'revocations', 'orders'])).toContain('stolen');
    await done(['user', 'restore', 'printer', '--account', 'orders']);
    await done(['user', 'creds', 'printer', '--account', 'orders', '--output', at('again.creds')]);
    await (await connectSoon(platform, readFileSync(at('again.creds'), 'utf8'))).close();
  });

  it('names: several of one name are exit code 2 with the candidates, none is 1 with what is similar', async () => {
    await done(['account', 'create', 'billing']);
    await done(['user', 'create', 'printer', '--account', 'billing']);
    const several = await run(['user', 'get', 'printer']);
    expect(several.code).toBe(2);
    expect(several.err).toContain('--account');
    expect(several.err.match(/printer {2}public_key U/g)).toHaveLength(2);
    const none = await run(['account', 'get', 'order']);
    expect(none.code).toBe(1);
    expect(none.err).toContain('similar: orders');
    const { id, public_key } = await json(['user', 'get', 'PRINTER', '--account', 'ORDERS']);
    expect((await json(['user', 'get', id])).public_key).toBe(public_key);
    expect((await json(['user', 'get', public_key])).id).toBe(id);
  });

  it('allowances, activation tokens, signing keys', async () => {
    const tenant = await newTenant(platform);
    await done([
      'allowance',
      'set',
      '--tenant',
      tenant,
      '--accounts',
      '2',
      '--conn',
      '100',
      '--reason',
      'trial',
    ]);
    expect(await json(['allowance', 'list', '--tenant', tenant])).toMatchObject([{ accounts_max: 2 }]);
    expect((await run(['allowance', 'delete', '--tenant', tenant])).code).toBe(2);
    await done(['allowance', 'delete', '--tenant', tenant, '--yes']);
    await done(
      ['account', 'update', 'orders', '--claims', '-'],
      '{"exports":[{"subject":"stock.>","type":"stream","token_req":true}]}',
    );
    const share = ['--subject', 'stock.>', '--type', 'stream', '--for', 'billing'];
    await done(['account', 'activation', 'orders', ...share, '--expires', '30d', '--output', at('token')]);
    expect(decodeJwt(readFileSync(at('token'), 'utf8')).nats).toMatchObject({
      subject: 'stock.>',
      type: 'activation',
    });
    expect(mode(at('token'))).toBe('600');
    const { signing_keys: keys } = await json(['account', 'key', 'add', 'billing']);
    await done(['account', 'key', 'remove', 'billing', keys.at(-1).public_key, '--yes']);
  });

  it('the encryption keys are shown, and one that is needed is not given up', async () => {
    const { keys, primary } = await json(['keys', 'encryption', 'status']);
    expect(keys).toMatchObject([{ id: primary, state: 'primary' }]);
    expect(await done(['keys', 'encryption', 'status'])).toContain(primary);
    expect((await run(['keys', 'encryption', 'destroy', primary])).code).toBe(2);
    const refused = await run(['keys', 'encryption', 'destroy', primary, '--yes']);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('key_in_use');
  });

  it('deleting asks: without a terminal it needs --yes; the account is locked, comes back, and goes', async () => {
    const asked = await run(['account', 'delete', 'billing']);
    expect(asked.code).toBe(2);
    expect(asked.err).toContain('--yes');
    expect((await json(['account', 'get', 'billing'])).state).toBe('active');
    await done(['user', 'delete', 'printer', '--account', 'billing', '--yes']);
    await done(['account', 'delete', 'billing', '--purge', '--yes', '--reason', 'trial is over']);
    await eventually(async () => {
      const left = await json(['account', 'list', '--search', 'billing']);
      expect(left.filter(({ state }: { state: string }) => state !== 'deleted')).toEqual([]);
    }, 60_000);
  });
});

describe('an operator of its own', () => {
  it('goes out as an nsc store and comes back from one, whole', async () => {
    await done([
      'operator',
      'create',
      'edge',
      '--service-url',
      'nats://edge.example.com:4222',
      '--tag',
      'far',
    ]);
    await done(['account', 'create', 'sensors', '--operator', 'edge', '--conn', '5']);
    await done(['role', 'create', 'reader', '--account', 'sensors', '--allow-sub', 'temp.>']);
    await done(['user', 'create', 'probe', '--account', 'sensors', '--operator', 'edge', '--role', 'reader']);
    expect((await run(['operator', 'export', 'edge', '--output', at('edge'), '--seeds'])).code).toBe(2);
    await done([
      'operator',
      'export',
      'edge',
      '--output',
      at('edge'),
      '--seeds',
      '--yes',
      '--reason',
      'moving',
    ]);
    expect(mode(at('edge'))).toBe('700');
    expect(mode(at('edge/stores/edge/edge.jwt'))).toBe('600');
    expect((await run(['operator', 'export', 'edge', '--output', at('edge')])).code).toBe(1);
    const there = await run(['operator', 'import', '--store', at('edge/stores'), '--keys', at('edge/keys')]);
    expect(there.code).toBe(1);
    expect(there.err).toContain('public_key_taken');
    expect(there.err).toContain('is an operator here already');
    await auditEvent(platform, { type: 'natsid.nsc.exported' }, ({ data }) => data.reason === 'moving');

    const other = await startPlatform();
    const elsewhere = gatehouseFor(() => other);
    try {
      await elsewhere.done(['login', '--email', other.admin.email], `${other.admin.password}\n`);
      const folders = ['--store', at('edge/stores'), '--keys', at('edge/keys')];
      expect(await elsewhere.done(['operator', 'import', ...folders, '--dry-run'])).toContain('dry run');
      expect(await elsewhere.done(['operator', 'import', ...folders])).toContain(
        'imported 2 accounts, 1 roles, 1 users',
      );
      for (const [kind, name] of [
        ['operator', 'edge'],
        ['account', 'sensors'],
        ['role', 'reader'],
        ['user', 'probe'],
      ] as const) {
        const [here, moved] = await Promise.all([
          json([kind, 'get', name]),
          elsewhere.json([kind, 'get', name]),
        ]);
        expect(moved.public_key).toBe(here.public_key);
        expect(moved.claims ?? moved.template).toEqual(here.claims ?? here.template);
        expect(moved.jwt).toBe(here.jwt);
      }
      await elsewhere.done(['user', 'creds', 'probe', '--account', 'sensors', '--output', at('moved.creds')]);
      expect(parseCreds(readFileSync(at('moved.creds'), 'utf8'))?.seed).toMatch(/^SU/);
    } finally {
      await other.close();
      elsewhere.close();
    }
  });

  it('the guide’s command: creds of a user of $SYS; of the platform’s own bus there are none', async () => {
    const { name } = await json(['account', 'get', '$SYS', '--operator', 'edge']);
    const there = ['--operator', 'edge', '--account', '$SYS'];
    await done(['user', 'create', 'cluster-edge', '--operator', 'edge', '--account', name]);
    const creds = parseCreds(await done(['user', 'creds', 'cluster-edge', ...there]));
    expect(decodeJwt(creds?.jwt ?? '').name).toBe('cluster-edge');
    const own = await run(['user', 'create', 'mine', '--account', '$SYS']);
    expect(own.code).toBe(1);
    expect(own.err).toContain('forbidden');
    const exported = await run(['operator', 'export', '--output', at('own'), '--seeds', '--yes']);
    expect(exported.err).toContain('forbidden');
    expect(existsSync(at('own'))).toBe(false);
  });

  it('without --seeds an export holds no private key', async () => {
    await done(['operator', 'export', 'edge', '--output', at('public')]);
    expect(existsSync(at('public/keys'))).toBe(false);
    const jwt = readFileSync(at('public/stores/edge/edge.jwt'), 'utf8');
    expect(readNscStore([{ path: 'edge.jwt', content: jwt }]).operators).toHaveLength(1);
  });

  it('a store larger than what the gateway gathers is imported', async () => {
    mkdirSync(at('large'));
    await done(['operator', 'create', 'large']);
    await done(['operator', 'export', 'large', '--output', at('large/out'), '--seeds', '--yes']);
    // Ignored by the import, and sent all the same.
    const junk = 'x'.repeat(900_000);
    for (const name of ['a', 'b', 'c']) writeFileSync(at(`large/out/stores/${name}.jwt`), junk);
    const folders = ['--store', at('large/out/stores'), '--keys', at('large/out/keys')];
    const refused = await run(['operator', 'import', ...folders]);
    expect(refused.err).toContain('invalid_import');
    expect(refused.err).toContain('stores/a.jwt');
    await done(['operator', 'delete', 'large', '--yes']);
    expect(await done(['operator', 'import', ...folders, '--leave-faulty'])).toContain(
      'left out stores/c.jwt',
    );
  });

  it('gives a server its configuration', async () => {
    const config = await done(['operator', 'server-config', 'edge', '--server-name', 'n1']);
    expect(config).toContain('resolver');
    await done(['operator', 'server-config', 'edge', '--resolver', 'memory', '--output', at('config')]);
    expect(readFileSync(at('config/nats.conf'), 'utf8')).toContain('MEMORY');
  });

  it('a cluster of it that nobody answers for is unhealthy: exit code 1 of health, diff and sync', async () => {
    await done(['cluster', 'create', 'nowhere', '--operator', 'edge', '--server', 'nats://127.0.0.1:9']);
    await eventually(async () => {
      expect(
        (await json(['cluster', 'list'])).find(({ name }: { name: string }) => name === 'nowhere').checked_at,
      ).not.toBeNull();
    }, 60_000);
    const health = await run(['cluster', 'health', 'nowhere']);
    expect(health.code).toBe(1);
    expect(health.out).toContain('NOT HEALTHY');
    expect((await run(['cluster', 'diff', 'nowhere'])).code).toBe(1);
    await done(['cluster', 'update', 'nowhere', '--description', 'a test', '--reason', 'x']);
    await done(['cluster', 'delete', 'nowhere', '--yes']);
  });
});

describe('an administrator of a tenant', () => {
  it('names what is theirs, and nothing else is there', async () => {
    const tenant = await newTenant(platform);
    const token = await platform.adminToken();
    const answer = await platform.api.post('/api/auth/register', {
      tenant_id: tenant,
      email: `a-${tenant}@example.com`,
      password: 'correct horse battery',
    });
    expect(answer.status, answer.text).toBe(201);
    const raised = await platform.api.post(
      `/api/admin/users/${answer.body.user_id}/role`,
      { role: 'ADMIN', reason: 'x' },
      { token },
    );
    expect(raised.status, raised.text).toBe(200);
    const admin = gatehouseFor(() => platform);
    try {
      const login = ['login', '--email', `a-${tenant}@example.com`, '--tenant', tenant];
      await admin.done(login, 'correct horse battery\n');
      expect(await admin.json(['account', 'list'])).toEqual([]);
      const { id } = await json(['account', 'get', 'orders']);
      for (const reference of ['orders', id]) {
        const refused = await admin.run(['account', 'get', reference]);
        expect(refused.code).toBe(1);
      }
      expect((await admin.run(['cluster', 'list'])).err).toContain('forbidden');
    } finally {
      admin.close();
    }
  });
});
