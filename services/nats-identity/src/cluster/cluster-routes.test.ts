import { eventually } from '@gatehouse/kit/testing';
import { createNkey, encodeJwt, formatCreds, type Nkey, nkeyFromSeed } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../cluster-testing.ts';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';

let ground: TestNatsIdentity;
let servers: TestCluster;
let operator: { id: string; system_account_id: string; jwt: string };
let system: { public_key: string; jwt: string };

const as = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  ground.api.request(method, `/api/nats${path}`, body, { token: ground.root.token, headers });

/** A key of the system account that came from outside with its operator. */
let outside: { operatorId: string; account: Nkey; signing: Nkey };

beforeAll(async () => {
  ground = await startNatsIdentity({ NATS_HEALTH_INTERVAL_SECONDS: '1' });
  operator = (await as('POST', '/operators', { name: 'OP' })).body;
  system = (await as('GET', `/accounts/${operator.system_account_id}`)).body;
  servers = await startTestCluster({
    operatorJwt: operator.jwt,
    systemAccount: { publicKey: system.public_key, jwt: system.jwt },
    servers: 1,
  });
  outside = await importOperator();
}, 60_000);
afterAll(async () => {
  await ground?.close();
  await servers?.close();
});

/** An operator whose keys are elsewhere. */
async function importOperator() {
  const [root, account, signing] = [createNkey('operator'), createNkey('account'), createNkey('account')];
  const iat = Math.floor(Date.now() / 1000);
  const jwt = encodeJwt(
    { sub: root.publicKey, name: 'OUT', iat },
    { type: 'operator', system_account: account.publicKey },
    root,
  );
  const made = await as('POST', '/operators', { name: 'OUT', import: { jwt } });
  expect(made.text).toContain(root.publicKey);
  return { operatorId: made.body.id as string, account, signing };
}

/** Creds of a user that `signer` signs. */
function credsOf(signer: Nkey, about: { issuer?: string; exp?: number; type?: string; seed?: Nkey } = {}) {
  const user = createNkey('user');
  const jwt = encodeJwt(
    { sub: user.publicKey, iat: 1_700_000_000, ...(about.exp && { exp: about.exp }) },
    { type: about.type ?? 'user', ...(about.issuer && { issuer_account: about.issuer }) },
    signer,
  );
  const creds = formatCreds({ jwt, seed: user.seed().toString() });
  return creds.replace(/^SU.*$/m, (about.seed ?? user).seed().toString());
}

const create = (name: string, more: Record<string, unknown> = {}) =>
  as('POST', '/clusters', { name, operator_id: operator.id, servers: servers.urls, ...more });

describe('clusters', () => {
  it('are registered, and every account of the operator is proven on them', async () => {
    const made = await create('main', { description: 'the first', reason: 'we begin' });
    expect(made.status).toBe(201);
    expect(made.headers.get('etag')).toBe('"1"');
    expect(made.body).toMatchObject({
      name: 'main',
      credentials: 'own',
      own: false,
      accounts: { pending: 1 },
      change: { dry_run: false, affected: { accounts: 1, clusters: 1 } },
    });
    const { id } = made.body;
    expect(await ground.told('natsid.cluster.created', { cluster_id: id })).toMatchObject([
      { data: { actor_id: ground.root.userId, reason: 'we begin' } },
    ]);
    await eventually(async () => {
      const { body } = await as('GET', `/clusters/${id}`);
      expect(body).toMatchObject({
        healthy: true,
        accounts: { in_sync: 1 },
        health: { servers_answering: 1 },
      });
    }, 20_000);
    const health = await as('GET', `/clusters/${id}/health`);
    expect(health.body).toMatchObject({
      healthy: true,
      causes: [],
      servers: [{ name: 's0', state: 'in_sync' }],
    });
    const accounts = await as('GET', `/clusters/${id}/accounts?state=in_sync`);
    expect(accounts.body.items).toMatchObject([{ public_key: system.public_key, state: 'in_sync' }]);
    expect((await as('GET', `/clusters/${id}/accounts?state=drifted`)).body.items).toEqual([]);
    expect((await as('POST', `/clusters/${id}/sync`)).body).toMatchObject({ in_sync: true, finished: true });
    expect((await as('GET', `/clusters/${id}/diff`)).body).toMatchObject({ in_sync: true, resolver: 'full' });
  }, 60_000);

  it('delete an account that the API is asked to delete, and show how far they are', async () => {
    const made = await as('POST', '/accounts', { operator_id: operator.id, name: 'gone' });
    expect(made.status).toBe(201);
    const path = `/accounts/${made.body.id}`;
    await eventually(async () => expect((await as('GET', path)).body.sync[0].state).toBe('in_sync'), 20_000);
    const asked = await as('DELETE', `${path}?reason=over`);
    expect(asked.status).toBe(202);
    expect(asked.body.state).toBe('locked');
    await eventually(
      async () => expect(await ground.told('natsid.account.deleted', { id: made.body.id })).toHaveLength(1),
      20_000,
    );
  }, 60_000);

  it('take what a dry run shows only when it is none', async () => {
    const dry = await as('POST', '/clusters?dry_run=true', {
      name: 'dry',
      operator_id: operator.id,
      servers: ['nats://h'],
    });
    expect(dry.body).toMatchObject({ servers: ['nats://h:4222'], change: { dry_run: true } });
    expect((await as('GET', '/clusters?q=dry')).body.items).toEqual([]);
  });

  it('are changed under If-Match, and say what changed', async () => {
    const { body } = await create('changed');
    const path = `/clusters/${body.id}`;
    const stale = await as('PATCH', path, { description: 'x' }, { 'if-match': '"7"' });
    expect(stale.body.code).toBe('precondition_failed');
    const changed = await as('PATCH', path, { name: 'Changed', servers: ['nats://[::1]:4999'] });
    expect(changed.body).toMatchObject({ revision: 2, name: 'Changed', servers: ['nats://[::1]:4999'] });
    expect(changed.body.change.diff.map(({ path }: { path: string }) => path)).toEqual(
      expect.arrayContaining(['name']),
    );
    expect((await as('PATCH', path, { name: 'MAIN' })).body.code).toBe('name_taken');
    // Nothing to do is no new revision.
    expect((await as('PATCH', path, { name: 'Changed' })).body.revision).toBe(2);
    expect((await as('DELETE', `${path}?reason=over`)).status).toBe(200);
    expect((await as('GET', path)).status).toBe(404);
    expect(await ground.told('natsid.cluster.deleted', { cluster_id: body.id })).toMatchObject([
      { data: { reason: 'over' } },
    ]);
  });

  it('are listed newest first, page by page, by name and operator', async () => {
    const names = ['l-1', 'l-2', 'l-3'];
    for (const name of names) await create(name, { servers: ['nats://127.0.0.1:1'] });
    const first = await as('GET', '/clusters?q=L-&limit=2');
    expect(first.body.items.map(({ name }: { name: string }) => name)).toEqual(['l-3', 'l-2']);
    const cursor = encodeURIComponent(first.body.next_cursor);
    const second = await as('GET', `/clusters?q=L-&limit=2&cursor=${cursor}`);
    expect(second.body).toMatchObject({ items: [{ name: 'l-1' }], next_cursor: null });
    expect((await as('GET', `/clusters?q=other&cursor=${cursor}`)).body.code).toBe('bad_cursor');
    expect((await as('GET', `/clusters?operator_id=${outside.operatorId}`)).body.items).toEqual([]);
    for (const { id } of [...first.body.items, ...second.body.items]) await as('DELETE', `/clusters/${id}`);
  });

  it('forget a server by name, and know it again when it answers', async () => {
    const [main] = (await as('GET', '/clusters?q=main')).body.items;
    expect((await as('DELETE', `/clusters/${main.id}/servers/nobody`)).status).toBe(404);
    expect((await as('DELETE', `/clusters/${main.id}/servers/s0?dry_run=true`)).status).toBe(200);
    expect((await as('DELETE', `/clusters/${main.id}/servers/s0?reason=gone`)).status).toBe(200);
    await eventually(async () => {
      const { body } = await as('GET', `/clusters/${main.id}/health`);
      expect(body.servers).toMatchObject([{ name: 's0' }]);
    });
  });

  it('answer 503 when nobody is there to compare with', async () => {
    const { body } = await create('nobody', { servers: ['nats://127.0.0.1:1'] });
    const diff = await as('GET', `/clusters/${body.id}/diff`);
    expect(diff.status).toBe(503);
    expect(diff.body.code).toBe('cluster_unreachable');
    await as('DELETE', `/clusters/${body.id}`);
  }, 30_000);
});

describe('creds of a cluster', () => {
  const given = (creds: string | undefined) =>
    as('POST', '/clusters?dry_run=true', {
      name: 'given',
      operator_id: outside.operatorId,
      servers: ['nats://h'],
      ...(creds && { creds }),
    });

  it('are asked for when no key of the system account is here', async () => {
    const { body } = await given(undefined);
    expect(body).toMatchObject({ code: 'no_signing_key', detail: expect.stringContaining('send creds') });
  });

  it.each<[string, () => string, RegExp]>([
    ['no creds', () => 'hello', /no JWT and seed/],
    ['no JWT', () => credsOf(outside.account).replace(/^ey.*$/m, 'abc.def.ghi'), /cannot be read/],
    [
      'a JWT that somebody changed',
      () => credsOf(outside.account).replace(/^(ey.*)....$/m, '$1AAAA'),
      /cannot be read/,
    ],
    ['no user', () => credsOf(outside.account, { type: 'account' }), /not a user’s/],
    ['expired', () => credsOf(outside.account, { exp: 1_700_000_001 }), /has expired/],
    [
      'another’s seed',
      () => credsOf(outside.account, { seed: createNkey('user') }),
      /not the key of their JWT/,
    ],
  ])('are refused: %s', async (_, creds, detail) => {
    const { status, body } = await given(creds());
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_creds' });
    expect(body.detail).toMatch(detail);
  });

  it('are refused when their user belongs to another account than the system account', async () => {
    const { body } = await as('POST', '/clusters', {
      name: 'foreign',
      operator_id: operator.id,
      servers: ['nats://h'],
      creds: credsOf(createNkey('account')),
    });
    expect(body).toMatchObject({ code: 'invalid_creds', detail: expect.stringContaining('system account') });
  });

  it('work in place of our own, are never shown, and their end is told', async () => {
    const user = await as('POST', '/users', { account_id: operator.system_account_id, name: 'pusher' });
    expect(user.status).toBe(201);
    const issued = await as('POST', `/users/${user.body.id}/credentials`, { ttl_seconds: 3_600 });
    const { creds } = issued.body;
    const made = await create('with-creds', { creds });
    expect(made.status).toBe(201);
    expect(made.body.credentials).toBe('given');
    const { id } = made.body;
    await eventually(async () => {
      const { body } = await as('GET', `/clusters/${id}`);
      expect(body.accounts.in_sync).toBeGreaterThan(0);
      expect(body.health.causes).toEqual([
        expect.stringMatching(/creds of the cluster end in less than a day/),
      ]);
    }, 20_000);
    const seed = /(SU[A-Z2-7]{56})/.exec(creds)?.[1] ?? '';
    expect(nkeyFromSeed(seed, 'user').publicKey).toBeTruthy();
    const shown = await Promise.all(
      ['/clusters', `/clusters/${id}`, `/clusters/${id}/health`].map(
        async (path) => (await as('GET', path)).text,
      ),
    );
    const told = await ground.platform.database.query<{ text: string }>(
      `select string_agg(data::text, '') as text from natsid.outbox`,
    );
    for (const text of [...shown, told[0]?.text ?? '']) expect(text).not.toContain(seed);
    const rows = await ground.platform.database.query<{ sealed: string }>(
      `select s.sealed from natsid.secret s join natsid.cluster c on c.secret_id = s.id where c.id = $1`,
      [id],
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]?.sealed).not.toContain(seed);
    const back = await as('PATCH', `/clusters/${id}`, { creds: null });
    expect(back.body).toMatchObject({ credentials: 'own' });
    const left = await ground.platform.database.query(`select id from natsid.secret where kind = 'creds'`);
    expect(left).toEqual([]);
    await as('DELETE', `/clusters/${id}`);
  }, 60_000);
});

describe('the routes of clusters', () => {
  const bad = [
    'http://h',
    'nats://u:p@h',
    'nats://@h',
    'nats://h/x',
    'nats://h?x=1',
    'nats://h#x',
    'nats://h:99999',
    'nats://h:0',
    'nats://',
    'h:4222',
    'nats://a b',
    'nats://h\\x',
    'nats://h\r\nx',
    'javascript:alert(1)',
    'file:///etc/passwd',
    'nats://\u202e',
    `nats://${'a'.repeat(400)}`,
    'nats://ho%00st',
  ];
  it.each(bad)('refuse the address %j by its place', async (address) => {
    const { status, body } = await create('bad', { servers: ['nats://h:1', address] });
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' });
    expect(body.errors).toMatchObject([{ pointer: '/servers/1' }]);
  });

  it.each([[[]], [Array.from({ length: 17 }, (_, index) => `nats://h${index}`)], [['nats://h', 'ws://h']]])(
    'refuse %j',
    async (list) => {
      expect((await create('bad', { servers: list })).status).toBe(400);
    },
  );

  it('take private and local addresses: clusters live there', async () => {
    const { body } = await as('POST', '/clusters?dry_run=true', {
      name: 'private',
      operator_id: operator.id,
      servers: [
        'nats://10.0.0.1',
        'nats://[fd00::1]:4222',
        'NATS://10.0.0.1:4222',
        'tls://nats.internal:4443',
      ],
    });
    expect(body.servers).toEqual([
      'nats://10.0.0.1:4222',
      'nats://[fd00::1]:4222',
      'tls://nats.internal:4443',
    ]);
  });

  it('are for platform administrators only', async () => {
    const [main] = (await as('GET', '/clusters?q=main')).body.items;
    const [tenantAdmin, nobody] = [await ground.tenantAdmin(), await ground.person()];
    for (const [method, path, body] of [
      ['GET', '/clusters', undefined],
      ['POST', '/clusters', { name: 'x', operator_id: operator.id, servers: ['nats://h'] }],
      ['GET', `/clusters/${main.id}`, undefined],
      ['PATCH', `/clusters/${main.id}`, { name: 'x' }],
      ['DELETE', `/clusters/${main.id}`, undefined],
      ['GET', `/clusters/${main.id}/health`, undefined],
      ['GET', `/clusters/${main.id}/accounts`, undefined],
      ['GET', `/clusters/${main.id}/diff`, undefined],
      ['POST', `/clusters/${main.id}/sync`, undefined],
      ['DELETE', `/clusters/${main.id}/servers/s0`, undefined],
    ] as const) {
      for (const { token } of [tenantAdmin, nobody])
        expect((await ground.api.request(method, `/api/nats${path}`, body, { token })).status).toBe(403);
      expect((await ground.api.request(method, `/api/nats${path}`, body)).status).toBe(401);
    }
    expect((await as('GET', `/clusters/${main.id}`)).body.name).toBe('main');
  });

  it('know nothing of what is not there', async () => {
    const id = '00000000-0000-7000-8000-000000000000';
    for (const [method, rest] of [
      ['GET', ''],
      ['DELETE', ''],
      ['GET', '/health'],
      ['GET', '/accounts'],
      ['GET', '/diff'],
      ['POST', '/sync'],
    ])
      expect((await as(method ?? '', `/clusters/${id}${rest}`)).status).toBe(404);
    expect((await as('PATCH', `/clusters/${id}`, { name: 'x' })).status).toBe(404);
    const made = await as('POST', '/clusters', { name: 'x', operator_id: id, servers: ['nats://h'] });
    expect(made.status).toBe(404);
  });

  it('are counted under the guide’s names', async () => {
    const { metrics } = ground.platform;
    const text = await metrics.registry.metrics();
    expect(text).toMatch(/nis_api_requests_total\{service="nats-identity",method="GET",status="200"\} \d+/);
    expect(text).toMatch(
      /nis_api_request_duration_seconds_count\{service="nats-identity",method="POST",status="201"\}/,
    );
    // Those of other services are not.
    expect(text).not.toMatch(/nis_api_requests_total\{service="auth"/);
  });
});
