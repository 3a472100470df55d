import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Calls, callsOf, codeOf, dumpOf, freshName } from '../call-testing.ts';
import { type Actor, startNatsIdentity, type TestNatsIdentity } from '../testing.ts';

let nats: TestNatsIdentity;
let root: Calls;
let operatorId: string;
beforeAll(async () => {
  nats = await startNatsIdentity();
  root = callsOf(nats, nats.root);
  operatorId = (await root.post('/operators', { name: freshName('op'), open_to_tenants: true })).body.id;
});
afterAll(() => nats?.close());

interface Tenant {
  readonly who: Actor;
  readonly admin: Calls;
  readonly path: string;
}
/** A tenant, allowed what is given. */
async function tenant(allowed?: object): Promise<Tenant> {
  const who = await nats.tenantAdmin();
  const path = `/allowances/${who.tenantId}/${operatorId}`;
  if (allowed) expect((await root.put(path, allowed)).status).toBe(200);
  return { who, admin: callsOf(nats, who), path };
}
const make = (by: Calls, body: object = {}) => by.post('/accounts', { name: freshName('acc'), ...body });
const pathsOf = (answer: { body: { errors: { path: string }[] } }) =>
  answer.body.errors.map(({ path }) => path);

describe('an allowance', () => {
  it('is set, changed, shown and taken back by the platform', async () => {
    const { who, admin, path } = await tenant();
    const put = await root.put(path, { accounts_max: 3, limits_max: { conn: 10 }, reason: 'why' });
    expect(put.status).toBe(200);
    expect(put.headers.get('etag')).toBe('"1"');
    expect(put.body).toMatchObject({
      tenant_id: who.tenantId,
      operator_id: operatorId,
      accounts_max: 3,
      accounts: 0,
      // Without a word about storage there is none.
      limits_max: { conn: 10, mem_storage: 0, disk_storage: 0 },
      revision: 1,
    });
    const again = await root.put(path, { accounts_max: 3, limits_max: { conn: 10 } });
    expect(again.body).toMatchObject({ revision: 1, change: { diff: [] } });
    const stale = await root.put(path, { accounts_max: 4 }, { 'if-match': '"9"' });
    expect(codeOf(stale)).toEqual([412, 'precondition_failed']);
    const changed = await root.put(path, { accounts_max: 4 }, { 'if-match': '"1"' });
    expect(changed.body).toMatchObject({ accounts_max: 4, revision: 2 });
    const mine = (await admin.get('/allowances')).body.items;
    expect(mine).toEqual([expect.objectContaining({ tenant_id: who.tenantId, accounts_max: 4 })]);
    const listed = (await root.get(`/allowances?tenant_id=${who.tenantId}&operator_id=${operatorId}`)).body
      .items;
    expect(listed).toEqual(mine);
    const before = await dumpOf(nats);
    expect((await root.put(`${path}?dry_run=true`, { accounts_max: 9 })).body.accounts_max).toBe(9);
    expect((await root.delete(`${path}?dry_run=true`)).status).toBe(200);
    expect(await dumpOf(nats)).toEqual(before);
    expect((await root.delete(path)).status).toBe(200);
    expect(codeOf(await root.delete(path))).toEqual([404, 'not_found']);
    const told = await nats.told('natsid.allowance.changed', { operator_id: operatorId });
    const own = told.filter(({ tenant_id }) => tenant_id === who.tenantId);
    expect(own.map(({ data }) => (data.after as { accounts_max: number } | null)?.accounts_max)).toEqual([
      3,
      4,
      undefined,
    ]);
    expect(own[0]?.data).toMatchObject({ before: null, reason: 'why', actor_id: nats.root.userId });
  });

  it('is refused for limits that servers do not know or read the other way round', async () => {
    const { path } = await tenant();
    for (const limits_max of [
      { nonsense: 1 },
      { conn: -2 },
      { disk_storage: 1, streams: 0 },
      { tiered_limits: { R3: { consumer: 0 } } },
    ])
      expect(codeOf(await root.put(path, { accounts_max: 1, limits_max }))).toEqual([400, 'invalid_claims']);
    const nowhere = path.replace(operatorId, crypto.randomUUID());
    expect(codeOf(await root.put(nowhere, { accounts_max: 1 }))).toEqual([404, 'not_found']);
  });

  it('is nobody else’s to set, and another tenant’s is not shown', async () => {
    const { who, path, admin } = await tenant({ accounts_max: 1 });
    const other = await tenant();
    expect((await other.admin.get('/allowances')).body.items).toEqual([]);
    expect((await other.admin.get(`/allowances?tenant_id=${who.tenantId}`)).status).toBe(404);
    for (const [by, status] of [
      [admin, 403],
      [callsOf(nats, undefined), 401],
    ] as const) {
      expect((await by.put(path, { accounts_max: 9 })).status).toBe(status);
      expect((await by.delete(path)).status).toBe(status);
    }
    expect((await callsOf(nats, undefined).get('/allowances')).status).toBe(401);
  });
});

describe('an account of a tenant’s administrator', () => {
  it('belongs to the tenant, under an operator that is open, with an allowance', async () => {
    const { who, admin, path } = await tenant();
    expect(codeOf(await make(admin))).toEqual([403, 'allowance_exceeded']);
    await root.put(path, { accounts_max: 5, limits_max: { conn: 10, disallow_bearer: true } });
    const made = await make(admin);
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ tenant_id: who.tenantId, operator_id: operatorId });
    // What it says nothing of ends where the allowance does.
    expect(made.body.claims.limits).toMatchObject({
      conn: 10,
      disallow_bearer: true,
      subs: -1,
      disk_storage: 0,
    });
    expect((await nats.told('natsid.account.created', { id: made.body.id }))[0]?.tenant_id).toBe(
      who.tenantId,
    );
    const other = await nats.tenantAdmin();
    expect(codeOf(await make(admin, { tenant_id: other.tenantId }))).toEqual([404, 'not_found']);
    const closed = (await root.post('/operators', { name: freshName('op') })).body.id;
    expect(codeOf(await make(admin, { operator_id: closed }))).toEqual([404, 'not_found']);
  });

  it('never has more than the allowance', async () => {
    const limits_max = { conn: 10, subs: 100, disk_storage: 1000, wildcards: false };
    const { admin } = await tenant({ accounts_max: 9, limits_max });
    const wrong: readonly (readonly [object, string])[] = [
      [{ conn: 11 }, 'limits.conn'],
      [{ conn: -1 }, 'limits.conn'],
      [{ wildcards: true }, 'limits.wildcards'],
      [{ disk_storage: 1001 }, 'limits.disk_storage'],
      [{ disk_storage: -1 }, 'limits.disk_storage'],
      [{ tiered_limits: { R3: { disk_storage: 400 } } }, 'limits.tiered_limits.disk_storage'],
    ];
    for (const [limits, path] of wrong) {
      const answer = await make(admin, { claims: { limits } });
      expect([path, ...codeOf(answer)]).toEqual([path, 403, 'allowance_exceeded']);
      expect(pathsOf(answer)).toContain(path);
    }
    const made = await make(admin, { claims: { limits: { conn: 10, disk_storage: 1000 } } });
    expect(made.status).toBe(201);
    const id = made.body.id;
    for (const [limits, path] of wrong.slice(0, 5)) {
      const answer = await admin.patch(`/accounts/${id}`, { claims: { limits } });
      expect([path, ...codeOf(answer)]).toEqual([path, 403, 'allowance_exceeded']);
    }
    // Taking a limit away would lift it.
    expect(codeOf(await admin.patch(`/accounts/${id}`, { claims: { limits: { conn: null } } }))).toEqual([
      403,
      'allowance_exceeded',
    ]);
    expect((await admin.patch(`/accounts/${id}`, { claims: { limits: { conn: 9 } } })).status).toBe(200);
  });

  it('may keep what the platform gave beyond the allowance, and not add to it', async () => {
    const { admin } = await tenant({ accounts_max: 9, limits_max: { conn: 10 } });
    const { id } = (await make(admin)).body;
    expect((await root.patch(`/accounts/${id}`, { claims: { limits: { conn: 50 } } })).status).toBe(200);
    expect((await admin.patch(`/accounts/${id}`, { claims: { tags: ['x'] } })).status).toBe(200);
    expect((await admin.patch(`/accounts/${id}`, { claims: { limits: { conn: 51 } } })).status).toBe(403);
    expect((await admin.patch(`/accounts/${id}`, { claims: { limits: { conn: 40 } } })).status).toBe(403);
    expect((await admin.patch(`/accounts/${id}`, { claims: { limits: { conn: 5 } } })).status).toBe(200);
  });

  it('does not get what the platform alone sets', async () => {
    const { admin } = await tenant({ accounts_max: 9 });
    const { body: operator } = await root.get(`/operators/${operatorId}`);
    const system = (await root.get(`/accounts/${operator.system_account_id}`)).body.public_key;
    const watch = { name: 'w', subject: '$SYS.REQ.ACCOUNT.*.CONNZ', type: 'service', account: system };
    const { id, public_key } = (await make(admin)).body;
    const imports = [{ ...watch, subject: `$SYS.REQ.ACCOUNT.${public_key}.CONNZ` }];
    for (const claims of [{ cluster_traffic: 'owner' }, { imports }]) {
      expect(codeOf(await make(admin, { claims }))).toEqual([403, 'allowance_exceeded']);
      expect(codeOf(await admin.patch(`/accounts/${id}`, { claims }))).toEqual([403, 'allowance_exceeded']);
      expect((await root.patch(`/accounts/${id}`, { claims })).status).toBe(200);
      // What the platform set may stay.
      expect((await admin.patch(`/accounts/${id}`, { claims: { description: 'd', ...claims } })).status).toBe(
        200,
      );
    }
  });

  it('expires when the platform says, or earlier', async () => {
    const { admin } = await tenant({ accounts_max: 9 });
    const { id } = (await make(admin, { expires_at: '2100-01-01T00:00:00Z' })).body;
    const until = (expires_at: string | null) => admin.patch(`/accounts/${id}`, { expires_at });
    expect((await until('2090-01-01T00:00:00Z')).status).toBe(200);
    for (const later of ['2100-01-01T00:00:00Z', null])
      expect(codeOf(await until(later))).toEqual([403, 'allowance_exceeded']);
    expect((await root.patch(`/accounts/${id}`, { expires_at: null })).body.expires_at).toBeNull();
  });

  it('counts, and of twenty made at once no more than the allowance are', async () => {
    const { admin, path } = await tenant({ accounts_max: 3 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => make(admin)));
    const made = answers.filter(({ status }) => status === 201);
    expect(made).toHaveLength(3);
    for (const { status, body } of answers.filter((one) => one.status !== 201))
      expect([status, body.code]).toEqual([403, 'allowance_exceeded']);
    expect((await admin.get('/allowances')).body.items[0].accounts).toBe(3);
    // A locked one still counts; a tombstone does not.
    await nats.platform.database.query(`update natsid.account set state = 'deleted' where id = $1`, [
      made[0]?.body.id,
    ]);
    expect((await make(admin)).status).toBe(201);
    expect((await make(admin)).status).toBe(403);
    // The platform is not bound.
    const { tenant_id } = made[0]?.body ?? {};
    expect((await make(root, { tenant_id, operator_id: operatorId })).status).toBe(201);
    await root.delete(path);
    const { id } = made[1]?.body ?? {};
    expect(codeOf(await admin.patch(`/accounts/${id}`, { claims: { tags: ['x'] } }))).toEqual([
      403,
      'allowance_exceeded',
    ]);
  });
});
