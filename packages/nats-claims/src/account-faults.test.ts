import { expect, test } from 'vitest';
import { type AccountClaims, createNkey, encodeActivation, validateAccountClaims } from './index.ts';

const [exporter, other, me, user] = [
  createNkey('account'),
  createNkey('account'),
  createNkey('account'),
  createNkey('user'),
];
const A = exporter.publicKey;
/** Claims as nobody's types hold them: what an imported JWT may have. */
const loose = (claims: unknown) => claims as AccountClaims;
const pathsOf = (claims: unknown, about = {}) =>
  validateAccountClaims(loose(claims), about).map(({ path }) => path);
const service = (more: object) => ({ account: A, type: 'service', ...more });
const stream = (more: object) => ({ account: A, type: 'stream', ...more });
const long = 'x'.repeat(8193);

test.each<[string, unknown, string]>([
  ['a limit below -1', { limits: { conn: -2 } }, 'limits.conn'],
  ['connections beyond 32 bits, of which 2.10 makes none', { limits: { conn: 2 ** 40 } }, 'limits.conn'],
  ['a limit with a fraction', { limits: { subs: 1.5 } }, 'limits.subs'],
  ['a limit that is no safe integer', { limits: { data: 2 ** 60 } }, 'limits.data'],
  ['flat and tiered', { limits: { streams: -1, tiered_limits: { R1: {} } } }, 'limits.streams'],
  [
    'flat and tiered by a flag',
    { limits: { max_bytes_required: true, tiered_limits: { R1: {} } } },
    'limits.max_bytes_required',
  ],
  ['a tier without name', { limits: { tiered_limits: { '': {} } } }, 'limits.tiered_limits[""]'],
  ['a tier of another name', { limits: { tiered_limits: { gold: {} } } }, 'limits.tiered_limits.gold'],
  [
    'a limit of a tier',
    { limits: { tiered_limits: { R1: { streams: -5 } } } },
    'limits.tiered_limits.R1.streams',
  ],
  [
    'an export in another',
    {
      exports: [
        { subject: 'a.>', type: 'stream' },
        { subject: 'a.b', type: 'stream' },
      ],
    },
    'exports[1].subject',
  ],
  [
    'the same export twice',
    {
      exports: [
        { subject: 'a', type: 'service' },
        { subject: 'a', type: 'service' },
      ],
    },
    'exports[0].subject',
  ],
  ['an export without subject', { exports: [{ type: 'stream' }] }, 'exports[0].subject'],
  ['an export of no type', { exports: [{ subject: 'a' }] }, 'exports[0].type'],
  [
    'a response type of a stream',
    { exports: [{ subject: 'a', type: 'stream', response_type: 'Stream' }] },
    'exports[0].response_type',
  ],
  [
    'another response type',
    { exports: [{ subject: 'a', type: 'service', response_type: 'Many' }] },
    'exports[0].response_type',
  ],
  [
    'a threshold of a stream',
    { exports: [{ subject: 'a', type: 'stream', response_threshold: 5 }] },
    'exports[0].response_threshold',
  ],
  [
    'a negative threshold',
    { exports: [{ subject: 'a', type: 'service', response_threshold: -5 }] },
    'exports[0].response_threshold',
  ],
  [
    'latency of a stream',
    { exports: [{ subject: 'a', type: 'stream', service_latency: { sampling: 1, results: 'l' } }] },
    'exports[0].service_latency',
  ],
  [
    'latency beyond 100',
    { exports: [{ subject: 'a', type: 'service', service_latency: { sampling: 101, results: 'l' } }] },
    'exports[0].service_latency.sampling',
  ],
  [
    'latency to a wildcard',
    { exports: [{ subject: 'a', type: 'service', service_latency: { sampling: 1, results: 'l.*' } }] },
    'exports[0].service_latency.results',
  ],
  [
    'trace of a stream export',
    { exports: [{ subject: 'a', type: 'stream', allow_trace: true }] },
    'exports[0].allow_trace',
  ],
  [
    'an account token that is no wildcard',
    { exports: [{ subject: 'a.*', type: 'stream', account_token_position: 1 }] },
    'exports[0].account_token_position',
  ],
  [
    'an account token behind the end',
    { exports: [{ subject: 'a.*', type: 'stream', account_token_position: 3 }] },
    'exports[0].account_token_position',
  ],
  [
    'an account token at >',
    { exports: [{ subject: 'a.>', type: 'stream', account_token_position: 2 }] },
    'exports[0].account_token_position',
  ],
  [
    'a revocation of no account',
    { exports: [{ subject: 'a', type: 'stream', revocations: { [user.publicKey]: 1 } }] },
    `exports[0].revocations.${user.publicKey}`,
  ],
  [
    'more exports than allowed',
    { limits: { exports: 0 }, exports: [{ subject: 'a', type: 'stream' }] },
    'exports',
  ],
  [
    'a wildcard export that is not allowed',
    { limits: { exports: 5, wildcards: false }, exports: [{ subject: 'a.*', type: 'stream' }] },
    'exports[0].subject',
  ],
  ['a long description', { description: long }, 'description'],
  ['an address without host', { info_url: 'mailto:x' }, 'info_url'],
  [
    'an export’s address',
    { exports: [{ subject: 'a', type: 'stream', info_url: 'nowhere' }] },
    'exports[0].info_url',
  ],
  ['an import from nobody', { imports: [{ subject: 'a', type: 'stream' }] }, 'imports[0].account'],
  [
    'an import from a user',
    { imports: [{ subject: 'a', type: 'stream', account: user.publicKey }] },
    'imports[0].account',
  ],
  ['an import of no type', { imports: [{ subject: 'a', account: A }] }, 'imports[0].type'],
  ['sharing of a stream', { imports: [stream({ subject: 'a', share: true })] }, 'imports[0].share'],
  [
    'trace of a service import',
    { imports: [service({ subject: 'a', allow_trace: true })] },
    'imports[0].allow_trace',
  ],
  [
    'a local subject and to',
    { imports: [stream({ subject: 'a', to: 'b', local_subject: 'c' })] },
    'imports[0].to',
  ],
  ['a stream’s to with a wildcard', { imports: [stream({ subject: 'a', to: 'b.*' })] }, 'imports[0].to'],
  [
    'too few wildcards',
    { imports: [stream({ subject: 'a.*.*', local_subject: 'b.$1' })] },
    'imports[0].local_subject',
  ],
  [
    'a wildcard that is not there',
    { imports: [stream({ subject: 'a.*', local_subject: 'b.$2' })] },
    'imports[0].local_subject',
  ],
  [
    '> on one side only',
    { imports: [stream({ subject: 'a.>', local_subject: 'b' })] },
    'imports[0].local_subject',
  ],
  [
    'overlapping service imports',
    { imports: [service({ subject: 'a.*' }), service({ subject: 'a.b' })] },
    'imports[1]',
  ],
  [
    'service imports that overlap once renamed',
    {
      imports: [
        service({ subject: 'a', local_subject: 'x.y' }),
        service({ subject: 'b.*', local_subject: 'x.$1' }),
      ],
    },
    'imports[0]',
  ],
  ['more imports than allowed', { limits: { imports: 0 }, imports: [stream({ subject: 'a' })] }, 'imports'],
  ['a token that is none', { imports: [stream({ subject: 'a', token: 'x.y.z' })] }, 'imports[0].token'],
  [
    'mappings over 100',
    {
      mappings: {
        a: [
          { subject: 'b', weight: 60 },
          { subject: 'c', weight: 60 },
        ],
      },
    },
    'mappings.a',
  ],
  [
    'no weight is the whole',
    { mappings: { a: [{ subject: 'b' }, { subject: 'c', weight: 1 }] } },
    'mappings.a',
  ],
  [
    'mappings of one cluster over 100',
    {
      mappings: {
        'a.b': [
          { subject: 'b', weight: 60, cluster: 'e' },
          { subject: 'c', weight: 60, cluster: 'e' },
        ],
      },
    },
    'mappings["a.b"]',
  ],
  [
    'a mapping to the same twice',
    {
      mappings: {
        a: [
          { subject: 'b', weight: 10 },
          { subject: 'b', weight: 10 },
        ],
      },
    },
    'mappings.a[1].subject',
  ],
  [
    'a mapping to a bare wildcard',
    { mappings: { 'a.*': [{ subject: 'b.*' }] } },
    'mappings["a.*"][0].subject',
  ],
  [
    'a mapping to a wildcard that is not there',
    { mappings: { 'a.*': [{ subject: 'b.$2' }] } },
    'mappings["a.*"][0].subject',
  ],
  [
    'a mapping function of a wildcard that is not there',
    { mappings: { a: [{ subject: 'b.{{wildcard(1)}}' }] } },
    'mappings.a[0].subject',
  ],
  [
    'callout accounts without users',
    { authorization: { allowed_accounts: [A] } },
    'authorization.auth_users',
  ],
  ['a callout user that is none', { authorization: { auth_users: [A] } }, 'authorization.auth_users[0]'],
  [
    '* beside accounts',
    { authorization: { auth_users: [user.publicKey], allowed_accounts: [A, '*'] } },
    'authorization.allowed_accounts[1]',
  ],
  [
    'a curve key that is none',
    { authorization: { auth_users: [user.publicKey], xkey: A } },
    'authorization.xkey',
  ],
  ['trace to a wildcard', { trace: { dest: 'a.>' } }, 'trace.dest'],
  ['trace beyond 100', { trace: { dest: 'a', sampling: 101 } }, 'trace.sampling'],
  ['other cluster traffic', { cluster_traffic: 'both' }, 'cluster_traffic'],
  [
    'a queue where one publishes',
    { default_permissions: { pub: { allow: ['a queue'] } } },
    'default_permissions.pub.allow[0]',
  ],
  [
    'too many spaces',
    { default_permissions: { sub: { deny: ['a b c'] } } },
    'default_permissions.sub.deny[0]',
  ],
  [
    'responses below -1',
    { default_permissions: { resp: { max: -2, ttl: 0 } } },
    'default_permissions.resp.max',
  ],
  ['an empty tag', { tags: ['a', ' '] }, 'tags[1]'],
])('%s is a fault, named by its path', (_name, claims, path) => {
  expect(pathsOf(claims)).toContain(path);
});

test('the token of an import is of the exporter, for this account, this type, this subject and this time', () => {
  const token = (more: object = {}, signer = exporter) =>
    encodeActivation(
      { importer: me.publicKey, subject: 'a.>', type: 'stream', issuedAt: 100, expiresAt: 200, ...more },
      signer,
    );
  const about = { publicKey: me.publicKey, nowSeconds: 150 };
  const faultsOf = (jwt: string, at = about, subject = 'a.b') =>
    validateAccountClaims(loose({ imports: [stream({ subject, token: jwt })] }), at).map(
      ({ message }) => message,
    );
  expect(faultsOf(token())).toEqual([]);
  expect(faultsOf(token({ issuerAccount: A }, other))).toEqual([]);
  expect(faultsOf(token(), { ...about, publicKey: other.publicKey })).toEqual([
    'This token was issued to another account.',
  ]);
  expect(faultsOf(token({}, other))).toEqual([
    'This token was not issued by the account that the import names.',
  ]);
  expect(faultsOf(token({ type: 'service' }))).toEqual(['This token is not for a stream.']);
  expect(faultsOf(token(), about, 'b.c')).toEqual(['This token is for another subject.']);
  expect(faultsOf(token(), about, '>')).toEqual(['This token is for another subject.']);
  expect(faultsOf(token(), { ...about, nowSeconds: 200 })).toEqual(['This token has expired.']);
  expect(faultsOf(`${token().slice(0, -4)}AAAA`)[0]).toContain('signature');
  expect(faultsOf(token()).join()).not.toContain(token());
});
