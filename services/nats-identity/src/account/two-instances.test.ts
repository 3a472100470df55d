import { auth } from '@gatehouse/auth';
import { createLog, type Running, run } from '@gatehouse/kit';
import { apiOf } from '@gatehouse/kit/testing';
import { decodeJwt } from '@gatehouse/nats-claims';
import { token } from '@gatehouse/token';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Calls, callsOf, freshName } from '../call-testing.ts';
import { natsIdentity } from '../service.ts';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';

let nats: TestNatsIdentity;
let other: Running;
let both: readonly Calls[];
beforeAll(async () => {
  nats = await startNatsIdentity();
  other = await run([auth, token, natsIdentity], {
    env: nats.platform.env,
    log: createLog({ level: 'silent', pretty: false }),
  });
  both = [callsOf(nats, nats.root), callsOf({ api: apiOf(other.url) }, nats.root)];
});
afterAll(async () => {
  await other?.stop();
  await nats?.close();
});

const [one, two] = [0, 1] as const;
const by = (index: number): Calls => {
  const calls = both[index % 2];
  if (calls === undefined) throw new Error('no instance');
  return calls;
};

describe('two instances on one database', () => {
  it('that change one account within a second never give two JWTs the same iat, and the last is the greatest', async () => {
    const operator = await by(one).post('/operators', { name: freshName('op') });
    const { body: made } = await by(two).post('/accounts', { operator_id: operator.body.id, name: 'a' });
    const changes = await Promise.all(
      Array.from({ length: 24 }, (_, n) => {
        if (n % 4 === 3) return by(n).post(`/accounts/${made.id}/signing-keys`);
        return by(n).patch(`/accounts/${made.id}`, { claims: { tags: [`t${n}`] } });
      }),
    );
    for (const { status } of changes) expect([200, 201]).toContain(status);
    const all = [made, ...changes.map(({ body }) => body)];
    const iats = all.map(({ jwt }) => decodeJwt(jwt).iat);
    expect(new Set(iats).size).toBe(25);
    // In the order in which they were made, which the revision tells.
    const ordered = all.toSorted((a, b) => a.revision - b.revision).map(({ jwt }) => decodeJwt(jwt).iat);
    expect(ordered).toEqual(iats.toSorted((a, b) => a - b));
    const { body: last } = await by(one).get(`/accounts/${made.id}`);
    expect(decodeJwt(last.jwt).iat).toBe(Math.max(...iats));
    expect(last.revision).toBe(25);
    const jtis = all.map(({ jwt }) => decodeJwt(jwt).jti);
    expect(new Set(jtis).size).toBe(25);
  });

  it('that make accounts of one tenant at once stay within its allowance', async () => {
    const who = await nats.tenantAdmin();
    const { body: operator } = await by(one).post('/operators', {
      name: freshName('op'),
      open_to_tenants: true,
    });
    await by(one).put(`/allowances/${who.tenantId}/${operator.id}`, { accounts_max: 2 });
    const admins = [callsOf(nats, who), callsOf({ api: apiOf(other.url) }, who)];
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        admins[n % 2]?.post('/accounts', { operator_id: operator.id, name: freshName('a') }),
      ),
    );
    expect(answers.map((answer) => answer?.status).sort()).toEqual([201, 201, ...Array(10).fill(403)]);
  });

  it('that take keys from an operator while accounts are made leave no account with a key that is gone', async () => {
    const { body: operator } = await by(one).post('/operators', { name: freshName('op') });
    const added = await by(two).post(`/operators/${operator.id}/signing-keys`);
    const third = await by(two).post(`/operators/${operator.id}/signing-keys`);
    const [first, second] = added.body.signing_keys.map((key: { public_key: string }) => key.public_key);
    expect(third.status).toBe(201);
    const work = await Promise.all([
      ...Array.from({ length: 8 }, (_, n) =>
        by(n).post('/accounts', { operator_id: operator.id, name: `a${n}` }),
      ),
      by(one).delete(`/operators/${operator.id}/signing-keys/${first}`),
      by(two).delete(`/operators/${operator.id}/signing-keys/${second}`),
    ]);
    for (const { status } of work) expect([200, 201]).toContain(status);
    const stray = await nats.platform.database.query(
      `select a.name from natsid.account a where a.operator_id = $1 and not exists (
         select from natsid.operator_key k where k.public_key = a.issuer_key)`,
      [operator.id],
    );
    expect(stray).toEqual([]);
  });
});
