import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Calls, callsOf, freshName } from '../call-testing.ts';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';

let nats: TestNatsIdentity;
let root: Calls;
let operatorId: string;
let accountId: string;
beforeAll(async () => {
  nats = await startNatsIdentity();
  root = callsOf(nats, nats.root);
  operatorId = (await root.post('/operators', { name: freshName('op') })).body.id;
  accountId = (await root.post('/accounts', { operator_id: operatorId, name: 'a' })).body.id;
});
afterAll(() => nats?.close());

const deep = (levels: number): unknown => (levels === 0 ? 1 : { a: deep(levels - 1) });
const hostile: readonly unknown[] = [
  { limits: null },
  { limits: 'x' },
  { limits: [] },
  { limits: { conn: 1e308 } },
  { limits: { conn: 1.5 } },
  { limits: { tiered_limits: 7 } },
  { limits: { tiered_limits: { R1: null, x: [] } } },
  { exports: [null, 1, 'x', {}, { subject: {}, type: [] }] },
  { exports: [{ subject: 'a', type: 'service', service_latency: { sampling: {}, results: '' } }] },
  { imports: [{ subject: 'a', type: 'stream', account: `A${'A'.repeat(55)}`, token: 'eyJ' }] },
  { imports: {} },
  { mappings: { '': [], 'a.>': [{}], toString: 'x', 'a b': [{ subject: '' }] } },
  { mappings: { a: [{ subject: '{{wildcard(99)}}' }] } },
  { authorization: { auth_users: ['U'], allowed_accounts: ['*', '*'], xkey: 'X' } },
  { default_permissions: { pub: { allow: ['a b c', '..', '>'.repeat(1_000)] } } },
  { trace: { dest: '' } },
  { tags: ['\u202e', ' ', ''] },
  { toString: 1, valueOf: {}, hasOwnProperty: null },
  { description: 'x'.repeat(500_000) },
  { nested: deep(25) },
  Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`k${n}`, n])),
  { '0': 1, '~1/': 2, 'a"b': 3 },
];

describe('claims that mean harm', () => {
  it('are refused with a named problem, or taken, wherever they come in; never a 500', async () => {
    for (const [index, claims] of hostile.entries()) {
      const answers = [
        await root.post('/accounts', { operator_id: operatorId, name: freshName('x'), claims }),
        await root.patch(`/accounts/${accountId}?dry_run=true`, { claims }),
        await root.post('/operators?dry_run=true', { name: freshName('x'), claims }),
        await root.patch(`/operators/${operatorId}?dry_run=true`, { claims }),
        await root.put(`/allowances/${crypto.randomUUID()}/${operatorId}?dry_run=true`, {
          accounts_max: 1,
          limits_max: (claims as { limits?: unknown }).limits ?? claims,
        }),
      ];
      for (const [at, { status, body }] of answers.entries()) {
        expect([index, at, status < 500]).toEqual([index, at, true]);
        if (status >= 400)
          expect([index, at, body.code]).toEqual([index, at, expect.stringMatching(/^invalid_|^payload_/)]);
        expect(body.errors?.length ?? 0).toBeLessThanOrEqual(100);
      }
    }
  });
});
