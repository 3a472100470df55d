import { expect, test } from 'vitest';
import {
  completeAccountClaims,
  completeRoleTemplate,
  completeUserClaims,
  createNkey,
  explicitAccountClaims,
  explicitScope,
  explicitUserClaims,
  joinAccount,
  limitsExceeding,
  splitAccount,
  systemAccountExports,
  validateAccountClaims,
} from './index.ts';

const flat = {
  mem_storage: 0,
  disk_storage: 0,
  streams: -1,
  consumer: -1,
  max_ack_pending: -1,
  mem_max_stream_bytes: -1,
  disk_max_stream_bytes: -1,
  max_bytes_required: false,
};
const core = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  disallow_bearer: false,
  conn: -1,
  leaf: -1,
};

test('every limit of an account is written out, and JetStream is off', () => {
  expect(completeAccountClaims({})).toEqual({ limits: { ...core, ...flat } });
  expect(completeAccountClaims({ limits: { conn: 5 }, description: 'x' })).toEqual({
    limits: { ...core, ...flat, conn: 5 },
    description: 'x',
  });
});

test('an account that goes over to tiers leaves behind the flat limits that said nothing, and keeps one that did', () => {
  const before = completeAccountClaims({});
  const after = completeAccountClaims({
    limits: { ...before.limits, tiered_limits: { R3: { disk_storage: 9 } } },
  });
  expect(after).toEqual({ limits: { ...core, tiered_limits: { R3: { ...flat, disk_storage: 9 } } } });
  expect(validateAccountClaims(after)).toEqual([]);
  const both = completeAccountClaims({ limits: { disk_storage: 5, tiered_limits: { R1: {} } } });
  expect(validateAccountClaims(both).map(({ path }) => path)).toEqual(['limits.disk_storage']);
  expect(completeAccountClaims({ limits: { ...core, tiered_limits: {} } })).toEqual({
    limits: { ...core, ...flat },
  });
});

test('completing twice changes nothing', () => {
  for (const limits of [{}, { conn: 1 }, { tiered_limits: { R1: { disk_storage: 1 } } }]) {
    const once = completeAccountClaims({ limits });
    expect(JSON.stringify(completeAccountClaims(once))).toBe(JSON.stringify(once));
  }
});

test('fields that nobody here knows stay', () => {
  expect(completeAccountClaims({ future: 1, limits: { future: 2 } } as object)).toMatchObject({
    future: 1,
    limits: { future: 2 },
  });
});

test('a user without a role gets its limits, and no permission that was not there', () => {
  expect(completeUserClaims({ payload: 5 })).toEqual({ subs: -1, data: -1, payload: 5 });
});

test('a role saved again without a change is the same to the byte', () => {
  const template = {
    sub: { deny: [], allow: ['b', 'a', 'b'] },
    pub: {},
    bearer_token: false,
    times_location: '',
    resp: { ttl: 0, max: 1 },
    payload: 5,
  };
  const once = completeRoleTemplate(template);
  expect(JSON.stringify(once)).toBe(
    '{"data":-1,"payload":5,"resp":{"max":1,"ttl":0},"sub":{"allow":["b","a"]},"subs":-1}',
  );
  expect(JSON.stringify(completeRoleTemplate({ ...once, pub: { allow: [] } }))).toBe(JSON.stringify(once));
});

test.each<[string, object, object, string[]]>([
  ['as much as allowed', { conn: 5 }, { conn: 5 }, []],
  ['more', { conn: 6 }, { conn: 5 }, ['limits.conn']],
  ['unlimited under a limit', { conn: -1 }, { conn: 5 }, ['limits.conn']],
  ['nothing said, which is unlimited', {}, { conn: 5 }, ['limits.conn']],
  ['unlimited where there is no ceiling', { conn: -1 }, { conn: -1 }, []],
  ['a field without ceiling', { subs: 100 }, {}, []],
  ['wildcards', { wildcards: true }, { wildcards: false }, ['limits.wildcards']],
  ['no wildcards', { wildcards: false }, { wildcards: false }, []],
  ['bearer users', {}, { disallow_bearer: true }, ['limits.disallow_bearer']],
  ['no JetStream', {}, { disk_storage: 0, mem_storage: 0, streams: 5 }, []],
  ['JetStream where there is none', { disk_storage: 1 }, { disk_storage: 0 }, ['limits.disk_storage']],
  ['streams without end', { disk_storage: 1 }, { disk_storage: 5, streams: 5 }, ['limits.streams']],
  [
    'a stream size of 0, which is unlimited',
    { disk_storage: 1, disk_max_stream_bytes: 0 },
    { disk_max_stream_bytes: 5 },
    ['limits.disk_max_stream_bytes'],
  ],
  ['max_bytes', { disk_storage: 1 }, { max_bytes_required: true }, ['limits.max_bytes_required']],
  [
    'tiers within',
    { tiered_limits: { R1: { disk_storage: 5 } } },
    { tiered_limits: { R1: { disk_storage: 5 } } },
    [],
  ],
  [
    'a tier beyond',
    { tiered_limits: { R1: { disk_storage: 6 } } },
    { tiered_limits: { R1: { disk_storage: 5 } } },
    ['limits.tiered_limits.R1.disk_storage'],
  ],
  [
    'another tier',
    { tiered_limits: { R3: { disk_storage: 1 } } },
    { tiered_limits: { R1: { disk_storage: 5 } } },
    ['limits.tiered_limits.R3'],
  ],
  [
    'flat limits under a ceiling of tiers',
    { disk_storage: 1 },
    { tiered_limits: { R1: { disk_storage: 5 } } },
    ['limits'],
  ],
  [
    'tiers around a flat ceiling',
    { tiered_limits: { R3: { disk_storage: 2 } } },
    { disk_storage: 5 },
    ['limits.tiered_limits.disk_storage'],
  ],
  [
    'tiers within a flat ceiling',
    { tiered_limits: { R1: { disk_storage: 2, streams: 2 }, R3: { disk_storage: 1, streams: 3 } } },
    { disk_storage: 5, streams: 5 },
    [],
  ],
  [
    'an unlimited tier around a flat ceiling',
    { tiered_limits: { R1: { disk_storage: -1 } } },
    { disk_storage: 5 },
    ['limits.tiered_limits.disk_storage'],
  ],
])('against an allowance: %s', (_name, limits, ceiling, paths) => {
  expect(limitsExceeding(limits, ceiling).map(({ path }) => path)).toEqual(paths);
});

test('an account’s JWT taken apart and put together again is the same JSON', () => {
  const [plain, scoped, other, user] = [
    createNkey('account'),
    createNkey('account'),
    createNkey('account'),
    createNkey('user'),
  ];
  const nats = {
    limits: { conn: -1, future: 1 },
    exports: systemAccountExports,
    future: { a: [1] },
    signing_keys: [
      plain.publicKey,
      {
        kind: 'user_scope',
        key: scoped.publicKey,
        role: 'svc',
        description: 'd',
        template: { subs: -1, future: 1 },
        more: 2,
      },
      { kind: 'future_scope', key: other.publicKey, x: 1 },
    ],
    revocations: { [user.publicKey]: 100, '*': 50 },
    type: 'account',
    version: 2,
  };
  const parts = splitAccount(nats);
  expect(parts.keys.map(({ scope }) => scope)).toEqual([
    null,
    { role: 'svc', description: 'd', template: { subs: -1, future: 1 }, more: 2 },
    { kind: 'future_scope', x: 1 },
  ]);
  expect(parts.claims).toEqual({ limits: nats.limits, exports: nats.exports, future: nats.future });
  expect(joinAccount(parts)).toEqual(nats);
  expect(() => splitAccount({ signing_keys: [{ kind: 'user_scope' }] })).toThrow(TypeError);
  expect(() => splitAccount({ revocations: { x: 'y' } })).toThrow(TypeError);
});

test('what an imported JWT leaves out stays what servers read there: none, not unlimited', () => {
  const imported = explicitAccountClaims({ limits: { conn: 5, exports: -1 }, future: 1 });
  expect(completeAccountClaims(imported)).toEqual(imported);
  expect(imported).toMatchObject({
    limits: { conn: 5, exports: -1, subs: 0, wildcards: false, disk_storage: 0 },
    future: 1,
  });
  const tiered = explicitAccountClaims({ limits: { tiered_limits: { R1: { disk_storage: 5 } } } });
  expect(completeAccountClaims(tiered)).toEqual(tiered);
  expect(tiered).toMatchObject({ limits: { tiered_limits: { R1: { disk_storage: 5, streams: 0 } } } });
  expect(explicitUserClaims({ subs: -1 })).toEqual({ subs: -1, data: 0, payload: 0 });
  expect(explicitScope({ role: 'r', template: { payload: -1 } })).toEqual({
    role: 'r',
    template: { subs: 0, data: 0, payload: -1 },
  });
  expect(explicitScope({ kind: 'future', x: 1 })).toEqual({ kind: 'future', x: 1 });
});
