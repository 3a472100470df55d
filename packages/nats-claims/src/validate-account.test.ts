import { expect, test } from 'vitest';
import { type AccountClaims, createNkey, systemAccountExports, validateAccountClaims } from './index.ts';

const [exporter, other, user, curve] = [
  createNkey('account'),
  createNkey('account'),
  createNkey('user'),
  createNkey('curve'),
];
const A = exporter.publicKey;
/** Claims as nobody's types hold them: what an imported JWT may have. */
const loose = (claims: unknown) => claims as AccountClaims;
const pathsOf = (claims: unknown, about = {}) =>
  validateAccountClaims(loose(claims), about).map(({ path }) => path);
const service = (more: object) => ({ account: A, type: 'service', ...more });
const stream = (more: object) => ({ account: A, type: 'stream', ...more });

test.each<[string, unknown]>([
  ['nothing', {}],
  ['explicit limits', { limits: { conn: -1, imports: -1, exports: -1, wildcards: true } }],
  ['tiers', { limits: { conn: -1, tiered_limits: { R1: { disk_storage: 1 }, R3: { disk_storage: -1 } } } }],
  ['flat JetStream', { limits: { mem_storage: 5, disk_storage: -1, mem_max_stream_bytes: 0 } }],
  ['amounts beyond 32 bits', { limits: { disk_storage: 2 ** 50, data: 2 ** 40, streams: 2 ** 40 } }],
  ['the system account’s exports', { exports: systemAccountExports }],
  [
    'exports side by side',
    {
      exports: [
        { subject: 'a.*', type: 'stream' },
        { subject: 'b.>', type: 'stream' },
      ],
    },
  ],
  [
    'one subject as stream and as service',
    {
      exports: [
        { subject: 'a', type: 'stream' },
        { subject: 'a', type: 'service' },
      ],
    },
  ],
  [
    'a service with everything',
    {
      exports: [
        {
          subject: 'a.*.b',
          type: 'service',
          response_type: 'Chunked',
          response_threshold: 5,
          account_token_position: 2,
          service_latency: { sampling: 'headers', results: 'lat' },
          allow_trace: true,
          revocations: { '*': 1, [A]: 2 },
          info_url: 'https://x.example/y',
        },
      ],
    },
  ],
  [
    'a renamed import',
    {
      imports: [
        stream({ subject: 'a.*.*', local_subject: 'b.$2.$1' }),
        stream({ subject: 'c.>', local_subject: 'd.>' }),
      ],
    },
  ],
  ['an old import with to', { imports: [stream({ subject: 'a.*', to: 'prefix' })] }],
  [
    'service imports of the same name from two exporters',
    { imports: [service({ subject: 'a' }), { ...service({ subject: 'a' }), account: other.publicKey }] },
  ],
  [
    'mappings that add up',
    {
      mappings: {
        a: [
          { subject: 'b', weight: 50 },
          { subject: 'c', weight: 50 },
        ],
        'x.*': [{ subject: 'y.$1' }],
        'p.*.*': [{ subject: 'p.{{wildcard(2)}}.{{partition(10,1)}}' }],
      },
    },
  ],
  [
    'weights of a cluster on their own',
    {
      mappings: {
        a: [
          { subject: 'b', weight: 100 },
          { subject: 'c', weight: 100, cluster: 'east' },
        ],
      },
    },
  ],
  [
    'auth callout',
    { authorization: { auth_users: [user.publicKey], allowed_accounts: ['*'], xkey: curve.publicKey } },
  ],
  ['trace', { trace: { dest: 'traces.here', sampling: 5 } }],
  [
    'default permissions with a queue',
    { default_permissions: { pub: { allow: ['a.>'] }, sub: { allow: ['a queue', 'b.* q.*'] } } },
  ],
  ['names that nobody knows', { future: { a: 1 }, limits: { future: 1 } }],
])('%s is fine', (_name, claims) => {
  expect(validateAccountClaims(loose(claims))).toEqual([]);
});

test('every fault is a sentence', () => {
  for (const { message } of validateAccountClaims(loose({ exports: [{}], imports: [{}], trace: {} })))
    expect(message).toMatch(/^[A-Z].+\.$/);
});

test('the system account has no JetStream, and nobody imports from themselves', () => {
  expect(pathsOf({ limits: { disk_storage: 1 } }, { systemAccount: true })).toEqual(['limits']);
  expect(
    pathsOf({ limits: { tiered_limits: { R1: { disk_storage: 1 } } } }, { systemAccount: true }),
  ).toEqual(['limits']);
  expect(pathsOf({ imports: [stream({ subject: 'a' })] }, { publicKey: A })).toEqual(['imports[0].account']);
});

test('five thousand exports are judged in a moment; a server’s own comparison takes seconds', () => {
  const plain = Array.from({ length: 5000 }, (_, index) => ({
    subject: `a.b.c.${index}.*.>`,
    type: 'stream',
  }));
  // Every mixture of twelve names and wildcards: each is covered by many.
  const mixed = Array.from({ length: 4096 }, (_, bits) => ({
    subject: Array.from({ length: 12 }, (_x, bit) => ((bits >> bit) & 1 ? '*' : 'a')).join('.'),
    type: 'service',
  }));
  const deep = Array.from({ length: 900 }, (_, index) => ({
    subject: [
      ...Array.from({ length: 500 }, (_x, bit) => ((index * 7919 + bit * 31) % 3 ? '*' : 'a')),
      index,
    ].join('.'),
    type: 'service',
  }));
  expect(pathsOf({ exports: plain })).toEqual([]);
  expect(pathsOf({ exports: mixed })).toHaveLength(100);
  expect(pathsOf({ exports: deep }).length).toBeGreaterThanOrEqual(0);
});

test.each<unknown>([
  null,
  1,
  'x',
  [],
  { limits: null },
  { limits: [] },
  { exports: {} },
  { exports: [null, 1, 'x', []] },
  { imports: [null, { subject: 1, token: 1 }] },
  { mappings: { a: null, b: [null, 1], c: 'x' } },
  { mappings: [1] },
  { authorization: 5 },
  { trace: 'x' },
  { default_permissions: { pub: 1, sub: { allow: [1, null] }, resp: [] } },
  { exports: [{ subject: '\ud800', type: 'stream' }] },
  { exports: [{ subject: 'a\0b', type: 'stream' }] },
  { limits: { tiered_limits: { R1: null, R3: 5 } } },
  JSON.parse('{"__proto__":{"limits":1},"mappings":{"__proto__":[{}]}}'),
  { exports: [{ subject: 'x'.repeat(1_000_000), type: 'stream' }] },
  { tags: [1, {}] },
  { exports: [{ subject: `${'a.'.repeat(500_000)}a`, type: 'stream' }] },
  { description: 5, info_url: {} },
])('JSON of any shape is judged, never thrown at (%#)', (claims) => {
  expect(Array.isArray(validateAccountClaims(loose(claims)))).toBe(true);
});
