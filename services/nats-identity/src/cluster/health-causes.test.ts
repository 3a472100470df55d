import { describe, expect, it } from 'vitest';
import { type ExpectedCluster, judgeCluster } from './health-causes.ts';
import type { ServerFacts } from './look-at-servers.ts';

const now = Date.parse('2026-06-01T00:00:00Z');
const inDays = (days: number) => new Date(now + days * 86_400_000);

const expected: ExpectedCluster = {
  operator: { name: 'OP', publicKey: 'OROOT', jwtIat: 100, keys: ['OK1'] },
  systemAccount: 'ASYS',
  resolver: 'full',
  credsExpireAt: null,
  known: [{ name: 'a', id: 'N1', slowConsumers: 2 }],
};

const sound: ServerFacts = {
  name: 'a',
  id: 'N1',
  version: '2.12.1',
  complaint: null,
  trust: {
    name: 'a',
    id: 'N1',
    issuers: new Set(['OK1']),
    operators: [{ publicKey: 'OROOT', iat: 100 }],
    systemAccount: 'ASYS',
  },
  varz: {
    certificateEndsAt: null,
    jetstream: true,
    slowConsumers: 2,
    connections: 1,
    startedAt: '',
    clockSkewMs: 3,
    maxPayload: 1,
  },
};
const varz = { ...(sound.varz as NonNullable<ServerFacts['varz']>) };
const trust = { ...(sound.trust as NonNullable<ServerFacts['trust']>) };

const judge = (server: Partial<ServerFacts>, about: Partial<ExpectedCluster> = {}) =>
  judgeCluster([{ ...sound, ...server }], { ...expected, ...about }, now);
const fine = { causes: [], warnings: [] };

describe('the verdict on a cluster', () => {
  it('has nothing to say of one that is as it should be', () => {
    expect(judge({})).toEqual(fine);
  });

  it.each([
    ['HEALTHZ complains', { complaint: 'JetStream not ready' }, /a says of itself .*JetStream not ready/],
    ['no HEALTHZ', { complaint: undefined }, /a answers PING but not HEALTHZ/],
    ['no VARZ', { varz: undefined, trust: undefined }, /a answers PING but not VARZ/],
    [
      'certificate over',
      { varz: { ...varz, certificateEndsAt: inDays(-1) } },
      /certificate of a has expired/,
    ],
    [
      'certificate ends',
      { varz: { ...varz, certificateEndsAt: inDays(5.5) } },
      /certificate of a ends in 5 days/,
    ],
    ['other operator', { trust: { ...trust, operators: [] } }, /a does not trust operator OP/],
    [
      'lacks a key',
      { trust: { ...trust, issuers: new Set<string>() } },
      /a trusts an older operator JWT, .*OK1: restart/,
    ],
    ['other system account', { trust: { ...trust, systemAccount: 'AX' } }, /a has another system account/],
  ])('is ill: %s', (_, server, cause) => {
    expect(judge(server as Partial<ServerFacts>).causes).toEqual([expect.stringMatching(cause)]);
  });

  it.each([
    ['certificate', { varz: { ...varz, certificateEndsAt: inDays(20.5) } }, /ends in 20 days/],
    [
      'older operator JWT',
      { trust: { ...trust, operators: [{ publicKey: 'OROOT', iat: 99 }] } },
      /older operator JWT/,
    ],
    ['slow consumers', { varz: { ...varz, slowConsumers: 5 } }, /cut off 3 slow consumers/],
    ['clock', { varz: { ...varz, clockSkewMs: -61_000 } }, /clock of a is -61 s/],
    ['old server', { version: '2.9.10' }, /a runs nats-server 2\.9\.10/],
  ])('warns: %s', (_, server, warning) => {
    expect(judge(server as Partial<ServerFacts>)).toEqual({
      causes: [],
      warnings: [expect.stringMatching(warning)],
    });
  });

  it('counts slow consumers anew when the server was started again', () => {
    expect(judge({ id: 'N2', varz: { ...varz, slowConsumers: 50 } })).toEqual(fine);
  });

  it('names who is missing, and who shares a name', () => {
    const known = [...expected.known, { name: 'b', id: 'N3', slowConsumers: 0 }];
    expect(judge({}, { known }).causes).toEqual([expect.stringMatching(/^server b of 2 does not answer/)]);
    expect(judgeCluster([sound, { ...sound, id: 'N9' }], expected, now).causes).toEqual([
      expect.stringMatching(/several servers are named a/),
    ]);
  });

  it('tells of creds that end and of resolvers that store nothing', () => {
    expect(judge({}, { credsExpireAt: inDays(-1) }).causes).toEqual([
      'the creds of the cluster have expired',
    ]);
    expect(judge({}, { credsExpireAt: inDays(1.5) }).causes).toEqual([
      'the creds of the cluster end in 1 day',
    ]);
    expect(judge({}, { credsExpireAt: inDays(10) }).warnings).toEqual([
      'the creds of the cluster end in 10 days',
    ]);
    expect(judge({}, { resolver: 'memory' }).warnings).toEqual([
      expect.stringMatching(/^resolver is memory/),
    ]);
  });

  it('repeats nothing that could steer a terminal', () => {
    expect(judge({ name: 'a\u001b[2J', version: '2.1' }).warnings.join()).not.toContain('\u001b');
  });
});
