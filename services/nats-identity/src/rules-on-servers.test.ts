import {
  type AccountClaims,
  createNkey,
  type UserClaims,
  validateAccountClaims,
  validateUserClaims,
} from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ServerGround, serverVersions, startServerGround } from './server-testing.ts';

const [exporter, user] = [createNkey('account').publicKey, createNkey('user').publicKey];
const service = (more: object) => ({ account: exporter, type: 'service', ...more });
const stream = (more: object) => ({ account: exporter, type: 'stream', ...more });

/** Claims that servers of both versions take. */
const fine: [string, unknown][] = [
  ['nothing but limits', {}],
  ['a field nobody knows', { future: { a: 1 } }],
  [
    'a service with latency by headers',
    { exports: [{ subject: 'a', type: 'service', service_latency: { sampling: 'headers', results: 'l' } }] },
  ],
  ['an account token', { exports: [{ subject: 'a.*', type: 'stream', account_token_position: 2 }] }],
  ['a renamed import', { imports: [stream({ subject: 'a.*.*', local_subject: 'b.$2.$1' })] }],
  [
    'mappings',
    {
      mappings: {
        'a.*': [
          { subject: 'b.$1', weight: 50 },
          { subject: 'c.{{wildcard(1)}}', weight: 50 },
        ],
      },
    },
  ],
  ['cluster traffic', { cluster_traffic: 'owner' }],
  ['a queue in sub', { default_permissions: { sub: { allow: ['a q', '>'] } } }],
];

/** Claims that servers of both versions refuse, at the push or at the first sign-in. */
const refused: [string, unknown][] = [
  ['a limit below -1', { limits: { conn: -2 } }],
  [
    'an export in another',
    {
      exports: [
        { subject: 'a.>', type: 'stream' },
        { subject: 'a.b', type: 'stream' },
      ],
    },
  ],
  ['an export without subject', { exports: [{ type: 'stream' }] }],
  ['a response type of a stream', { exports: [{ subject: 'a', type: 'stream', response_type: 'Stream' }] }],
  ['a threshold of a stream', { exports: [{ subject: 'a', type: 'stream', response_threshold: 5 }] }],
  [
    'latency of a stream',
    { exports: [{ subject: 'a', type: 'stream', service_latency: { sampling: 1, results: 'l' } }] },
  ],
  [
    'latency beyond 100',
    { exports: [{ subject: 'a', type: 'service', service_latency: { sampling: 101, results: 'l' } }] },
  ],
  [
    'latency to a wildcard',
    { exports: [{ subject: 'a', type: 'service', service_latency: { sampling: 1, results: 'l.*' } }] },
  ],
  ['trace of a stream export', { exports: [{ subject: 'a', type: 'stream', allow_trace: true }] }],
  [
    'an account token that is no wildcard',
    { exports: [{ subject: 'a.*', type: 'stream', account_token_position: 1 }] },
  ],
  ['more exports than allowed', { limits: { exports: 0 }, exports: [{ subject: 'a', type: 'stream' }] }],
  [
    'a wildcard that is not allowed',
    { limits: { exports: 5, wildcards: false }, exports: [{ subject: 'a.*', type: 'stream' }] },
  ],
  ['a long description', { description: 'x'.repeat(8193) }],
  ['an address without host', { info_url: 'mailto:x' }],
  ['an import from nobody', { imports: [{ subject: 'a', type: 'stream' }] }],
  ['sharing of a stream', { imports: [stream({ subject: 'a', share: true })] }],
  ['trace of a service import', { imports: [service({ subject: 'a', allow_trace: true })] }],
  ['a local subject and to', { imports: [stream({ subject: 'a', to: 'b', local_subject: 'c' })] }],
  ['too few wildcards', { imports: [stream({ subject: 'a.*.*', local_subject: 'b.$1' })] }],
  [
    'overlapping services of one exporter',
    { imports: [service({ subject: 'a.*' }), service({ subject: 'a.b' })] },
  ],
  ['more imports than allowed', { limits: { imports: 0 }, imports: [stream({ subject: 'a' })] }],
  ['a token that is none', { imports: [stream({ subject: 'a', token: 'x.y.z' })] }],
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
  ],
  [
    'mappings of a cluster over 100',
    {
      mappings: {
        a: [
          { subject: 'b', weight: 60, cluster: 'e' },
          { subject: 'c', weight: 60, cluster: 'e' },
        ],
      },
    },
  ],
  ['callout accounts without users', { authorization: { allowed_accounts: [exporter] } }],
  ['* beside accounts', { authorization: { auth_users: [user], allowed_accounts: [exporter, '*'] } }],
  ['trace to a wildcard', { trace: { dest: 'a.>' } }],
  ['trace beyond 100', { trace: { dest: 'a', sampling: 101 } }],
  ['other cluster traffic', { cluster_traffic: 'both' }],
  ['a queue in pub', { default_permissions: { pub: { allow: ['a q'] } } }],
  ['too many spaces', { default_permissions: { sub: { deny: ['a b c'] } } }],
];

const userFine: [string, UserClaims][] = [
  ['nothing but limits', {}],
  ['its network', { src: ['127.0.0.0/8'] }],
  [
    'all day in Calcutta',
    { times: [{ start: '00:00:00', end: '23:59:59' }], times_location: 'Asia/Calcutta' },
  ],
  ['its connection type', { allowed_connection_types: ['STANDARD', 'WEBSOCKET'] }],
];
const userRefused: [string, unknown][] = [
  ['a subject with a space', { pub: { allow: ['a b'] } }],
  ['two dots', { pub: { allow: ['a..b'] } }],
  ['an address for a network', { src: ['127.0.0.1'] }],
  ['an octet with a zero before it', { src: ['127.00.0.0/8'] }],
  ['hour 24', { times: [{ start: '00:00:00', end: '24:00:00' }] }],
  [
    'a place that is nowhere',
    { times: [{ start: '00:00:00', end: '23:59:59' }], times_location: 'Mars/Olympus' },
  ],
  [
    'a place in another case',
    { times: [{ start: '00:00:00', end: '23:59:59' }], times_location: 'europe/madrid' },
  ],
  ['no type that is known', { allowed_connection_types: ['QUIC'] }],
];

describe.each(serverVersions)('nats-server $version', ({ version, binary }) => {
  let ground: ServerGround;
  beforeAll(async () => {
    if (binary) ground = await startServerGround(binary);
  });
  afterAll(() => ground?.close());
  const onServer = test.skipIf(binary === undefined);

  /** Whether the account is taken, and a user of it gets in. */
  async function takes(claims: unknown): Promise<boolean> {
    try {
      return await (await ground.account(claims as AccountClaims)).admits();
    } catch (error) {
      expect(String(error)).toContain('validation');
      return false;
    }
  }

  onServer.each(fine)('takes, as the rules say: %s', async (_name, claims) => {
    expect(validateAccountClaims(claims as AccountClaims)).toEqual([]);
    expect(await takes(claims)).toBe(true);
  });

  onServer.each(refused)('refuses, as the rules say: %s', async (_name, claims) => {
    expect(validateAccountClaims(claims as AccountClaims)).not.toEqual([]);
    expect(await takes(claims)).toBe(false);
  });

  onServer.each(userFine)('lets a user in, as the rules say, with %s', async (_name, claims) => {
    expect(validateUserClaims(claims, { scoped: false })).toEqual([]);
    expect(await (await ground.account()).admits(claims)).toBe(true);
  });

  onServer.each(userRefused)('keeps a user out, as the rules say, with %s', async (_name, claims) => {
    expect(validateUserClaims(claims as UserClaims, { scoped: false })).not.toEqual([]);
    expect(await (await ground.account()).admits(claims as UserClaims)).toBe(false);
  });

  onServer('service imports of one name from two exporters are for servers after 2.10', async () => {
    const other = createNkey('account').publicKey;
    const claims = { imports: [service({ subject: 'a' }), { ...service({ subject: 'a' }), account: other }] };
    expect(validateAccountClaims(claims as AccountClaims)).toEqual([]);
    expect(await takes(claims)).toBe(version !== '2.10');
  });

  onServer('a limit beyond 32 bits, which 2.10 cuts to none, is a fault', async () => {
    const claims = { limits: { conn: 2 ** 40, payload: 2 ** 40 } };
    expect(validateAccountClaims(claims).map(({ path }) => path)).toEqual(['limits.payload', 'limits.conn']);
    expect(await takes(claims)).toBe(version !== '2.10');
  });
});
