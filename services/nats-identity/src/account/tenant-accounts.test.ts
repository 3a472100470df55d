import { randomUUID } from 'node:crypto';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Calls, callsOf, codeOf, freshName } from '../call-testing.ts';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';

let nats: TestNatsIdentity;
let root: Calls;
let operatorId: string;
beforeAll(async () => {
  nats = await startNatsIdentity();
  root = callsOf(nats, nats.root);
  operatorId = (await root.post('/operators', { name: freshName('op') })).body.id;
});
afterAll(() => nats?.close());

const make = (body: object) =>
  root.post('/accounts', { operator_id: operatorId, name: freshName('acc'), ...body });
const setStatus = (tenantId: string, status: string) =>
  nats.platform.database.query('update auth.tenant set status = $2 where id = $1', [tenantId, status]);
const becomes = (id: string, state: string, detail: string | null) =>
  eventually(async () =>
    expect((await root.get(`/accounts/${id}`)).body).toMatchObject({ state, state_detail: detail }),
  );

describe('an account for a tenant', () => {
  it('is made for one that is there, in whatever case its id is written', async () => {
    const { tenantId } = await nats.tenantAdmin();
    const made = await make({ tenant_id: tenantId.toUpperCase() });
    expect(made.status, made.text).toBe(201);
    expect(made.body).toMatchObject({ tenant_id: tenantId });
  });

  it('is refused for one that nobody made, and for one that was deleted', async () => {
    const deleted = randomUUID();
    await nats.platform.database.query('insert into auth.retired_id (id) values ($1)', [deleted]);
    for (const tenant_id of [randomUUID(), deleted])
      expect(codeOf(await make({ tenant_id }))).toEqual([404, 'unknown_tenant']);
  });
});

describe('an account of a disabled tenant', () => {
  it('is not opened by hand, can be deleted, and tells why it is locked', async () => {
    const { tenantId } = await nats.tenantAdmin();
    const { id } = (await make({ tenant_id: tenantId })).body;
    await setStatus(tenantId, 'disabled');
    await becomes(id, 'locked', 'its tenant is disabled');
    const refused = await root.post(`/accounts/${id}/restore`, { reason: 'a test' });
    expect(codeOf(refused)).toEqual([409, 'conflict']);
    expect(refused.body.detail).toContain('tenant is disabled');
    expect((await root.delete(`/accounts/${id}?reason=test`)).status).toBe(202);
    // No cluster of the operator has to be told.
    await becomes(id, 'deleted', null);
    await setStatus(tenantId, 'active');
    const other = (await make({ tenant_id: tenantId })).body.id;
    await setStatus(tenantId, 'disabled');
    await becomes(other, 'locked', 'its tenant is disabled');
    expect((await root.get(`/accounts/${id}`)).body).toMatchObject({ state: 'deleted' });
  });
});
