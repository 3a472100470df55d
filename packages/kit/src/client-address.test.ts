import { describe, expect, it } from 'vitest';
import { addressKey, addressKeysOf, cidrMatcher, clientAddress, parseTrustProxy } from './client-address.ts';

/** [TRUST_PROXY, direct peer, X-Forwarded-For, expected client, why] (attacks.md family 6) */
type Row = [
  policy: string,
  peer: string | undefined,
  forwarded: string | string[] | undefined,
  client: string,
];

const table: Record<string, Row[]> = {
  'a forged header from a direct client changes nothing': [
    ['loopback', '203.0.113.9', '127.0.0.1', '203.0.113.9'],
    ['loopback', '203.0.113.9', '10.0.0.1, 198.51.100.1', '203.0.113.9'],
    ['loopback', '10.0.0.9', '198.51.100.1', '10.0.0.9'],
    ['10.0.0.0/8', '11.0.0.1', '198.51.100.1', '11.0.0.1'],
    ['1', '203.0.113.9', '198.51.100.1', '203.0.113.9'],
    ['2', '2001:db8::9', '198.51.100.1, 198.51.100.2', '2001:db8::9'],
    ['0', '127.0.0.1', '198.51.100.1', '127.0.0.1'],
    ['1', '100.64.0.9', '198.51.100.1', '100.64.0.9'],
  ],
  'a trusted proxy names the client, and what the client wrote before it is ignored': [
    ['loopback', '127.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['loopback', '::1', '198.51.100.1', '198.51.100.1'],
    ['loopback', '127.0.0.1', '6.6.6.6, 198.51.100.1', '198.51.100.1'],
    ['loopback', '127.0.0.1', ['6.6.6.6', '198.51.100.1'], '198.51.100.1'],
    ['loopback, 10.0.0.0/8', '127.0.0.1', '6.6.6.6, 198.51.100.1, 10.1.2.3', '198.51.100.1'],
    ['192.0.2.7', '192.0.2.7', '198.51.100.1', '198.51.100.1'],
    ['uniquelocal', '192.168.1.1', '198.51.100.1', '198.51.100.1'],
    ['2001:db8:1::/48', '2001:db8:1::5', '2001:db8:ffff::1', '2001:db8:ffff::1'],
    ['1', '10.0.0.2', '6.6.6.6, 198.51.100.1', '198.51.100.1'],
    ['2', '10.0.0.2', '6.6.6.6, 198.51.100.1, 192.0.2.4', '198.51.100.1'],
    ['1', 'fd00::2', '198.51.100.1', '198.51.100.1'],
  ],
  'a chain shorter than the hops ends at its first address': [
    ['3', '10.0.0.2', '198.51.100.1', '198.51.100.1'],
    ['3', '10.0.0.2', undefined, '10.0.0.2'],
    ['3', '10.0.0.2', '', '10.0.0.2'],
    ['loopback', '127.0.0.1', '127.0.0.2', '127.0.0.2'],
  ],
  'IPv4-mapped addresses are IPv4, on either side': [
    ['loopback', '::ffff:127.0.0.1', '::ffff:198.51.100.1', '198.51.100.1'],
    ['::ffff:10.0.0.0/104', '10.1.1.1', '198.51.100.1', '198.51.100.1'],
    ['10.0.0.0/8', '::ffff:10.1.1.1', '198.51.100.1', '198.51.100.1'],
    ['loopback', '::ffff:203.0.113.9', '198.51.100.1', '203.0.113.9'],
    ['1', '::ffff:10.0.0.2', '198.51.100.1', '198.51.100.1'],
    ['1', '::ffff:203.0.113.9', '198.51.100.1', '203.0.113.9'],
  ],
  'junk stops the walk at the last address vouched for': [
    ['loopback', '127.0.0.1', 'unknown', '127.0.0.1'],
    ['loopback', '127.0.0.1', '198.51.100.1, _hidden', '127.0.0.1'],
    ['loopback', '127.0.0.1', '198.51.100.1,', '127.0.0.1'],
    ['loopback', '127.0.0.1', ', ,', '127.0.0.1'],
    ['loopback, 10.0.0.0/8', '127.0.0.1', '198.51.100.1, junk, 10.0.0.1', '10.0.0.1'],
    ['loopback', '127.0.0.1', '127.1', '127.0.0.1'],
    ['loopback', '127.0.0.1', '0x7f000001', '127.0.0.1'],
    ['loopback', '127.0.0.1', '2130706433', '127.0.0.1'],
    ['loopback', '127.0.0.1', '010.0.0.1', '127.0.0.1'],
    ['loopback', '127.0.0.1', '198.51.100.1/24', '127.0.0.1'],
    ['loopback', '127.0.0.1', '1.2.3.4\r\nx: y', '127.0.0.1'],
    ['2', '10.0.0.2', '198.51.100.1, not-an-address', '10.0.0.2'],
  ],
  'ports and zones are cut': [
    ['loopback', '127.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
    ['loopback', '127.0.0.1', '[2001:db8::1]:443', '2001:db8::1'],
    ['loopback', '127.0.0.1', '[2001:db8::1]', '2001:db8::1'],
    ['loopback', 'fe80::1%eth0', undefined, 'fe80::1'],
  ],
  'a connection without an address has one place to be counted': [
    ['loopback', undefined, '198.51.100.1', '0.0.0.0'],
    ['1', '', '198.51.100.1', '0.0.0.0'],
  ],
};

for (const [guarantee, rows] of Object.entries(table)) {
  describe(guarantee, () => {
    it.each(rows)('TRUST_PROXY=%s, peer %s, header %j: %s', (policy, peer, forwardedFor, client) => {
      expect(clientAddress({ peer, forwardedFor, policy: parseTrustProxy(policy) })).toBe(client);
    });
  });
}

it('a header of ten thousand forged hops costs the trusted part of it only', () => {
  const policy = parseTrustProxy('loopback');
  const forwardedFor = `${'127.0.0.1,'.repeat(10_000)}198.51.100.1`;
  const before = process.cpuUsage();
  for (let i = 0; i < 1000; i += 1) {
    expect(clientAddress({ peer: '127.0.0.1', forwardedFor, policy })).toBe('198.51.100.1');
  }
  expect(process.cpuUsage(before).user).toBeLessThan(500_000);
});

describe('addressKey', () => {
  it.each([
    ['198.51.100.1', '198.51.100.1'],
    ['::ffff:198.51.100.1', '198.51.100.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['::1', '::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
    ['nonsense', '0.0.0.0'],
  ])('%s is counted under %s', (ip, key) => {
    expect(addressKey(ip)).toBe(key);
  });
});

describe('addressKeysOf', () => {
  it.each([
    ['198.51.100.7', ['198.51.100.7']],
    ['::ffff:198.51.100.7', ['198.51.100.7']],
    ['::ffff:198.51.100.7/127', ['198.51.100.6', '198.51.100.7']],
    ['198.51.100.7/31', ['198.51.100.6', '198.51.100.7']],
    ['2001:db8:1:2:3::4', ['2001:db8:1:2::/64']],
    ['2001:db8:1:2::/64', ['2001:db8:1:2::/64']],
    ['2001:db8:1:2::/63', ['2001:db8:1:2::/64', '2001:db8:1:3::/64']],
  ])('%s: %j', (network, keys) => {
    expect(addressKeysOf(network)).toEqual(keys);
    for (const key of keys) expect(addressKey(key.replace('/64', '1'))).toBe(key);
  });

  it('goes through 256 keys and no more, and takes nothing else', () => {
    const all = addressKeysOf('198.51.100.99/24') ?? [];
    expect([all.length, all[0], all.at(-1)]).toEqual([256, '198.51.100.0', '198.51.100.255']);
    const six = addressKeysOf('2001:db8:1:ff00::/56') ?? [];
    expect([new Set(six).size, six.at(-1)]).toEqual([256, '2001:db8:1:ffff::/64']);
    for (const none of [
      '198.51.100.0/23',
      '2001:db8::/55',
      '0.0.0.0/0',
      '::/0',
      'x',
      '',
      '1.2.3.4/33',
      'fe80::1%eth0',
    ])
      expect(addressKeysOf(none), none).toBeUndefined();
  });
});

describe('parseTrustProxy', () => {
  it.each([
    ['true', 'entry 1'],
    ['loopback, 10.0.0.0/33', 'entry 2'],
    ['10.0.0.0/8,,::1', 'entry 2'],
    ['10.0.0.256', 'entry 1'],
    ['10.1/16', 'entry 1'],
    ['-1', 'entry 1'],
    ['1.5', 'entry 1'],
    ['17', 'at most 16'],
    ['0.0.0.0/0', 'every client forge'],
    ['::/0', 'every client forge'],
  ])('refuses %s and says where', (text, message) => {
    expect(() => parseTrustProxy(text)).toThrow(message);
  });

  it('takes blank as the default, loopback', () => {
    expect(parseTrustProxy(' ')).toEqual(parseTrustProxy('loopback'));
  });
});

describe('cidrMatcher', () => {
  const matches = cidrMatcher('10.0.0.0/8, 2001:db8::/32, 192.0.2.1');
  it.each([
    ['10.255.0.1', true],
    ['::ffff:10.0.0.1', true],
    ['11.0.0.1', false],
    ['2001:db8:9::1', true],
    ['2001:db9::1', false],
    ['192.0.2.1', true],
    ['192.0.2.2', false],
    ['junk', false],
    ['', false],
  ])('%s: %s', (ip, expected) => {
    expect(matches(ip)).toBe(expected);
  });

  it('admits nobody by an empty list, and everybody only when told so', () => {
    expect(cidrMatcher('')('127.0.0.1')).toBe(false);
    expect(cidrMatcher([])('127.0.0.1')).toBe(false);
    expect(cidrMatcher(['0.0.0.0/0', '::/0'])('198.51.100.1')).toBe(true);
  });

  it('names the setting and the entry that is wrong, not its value', () => {
    expect(() => cidrMatcher('10.0.0.0/8, oops')).toThrow(/^METRICS_GUARD_ALLOWLIST: entry 2 (?!.*oops)/);
  });
});
