import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = readonly [Address, number];

/** Who may tell us, by `X-Forwarded-For`, that somebody else is the client. Made by {@link parseTrustProxy}. */
export type TrustProxyPolicy =
  | { readonly kind: 'ranges'; readonly ranges: readonly Range[] }
  | { readonly kind: 'hops'; readonly hops: number };

/** What a connection without an IP address (a socket already closed, a Unix socket) is counted under. */
export const UNSPECIFIED_ADDRESS = '0.0.0.0';

const HOPS_MAX = 16;
const NAMED_RANGES: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};
/** What ipaddr.js calls the ranges a proxy of one's own sits in; CGNAT (100.64/10) is not one: name it as a CIDR. */
const NEAR_RANGES: ReadonlySet<string> = new Set(['loopback', 'private', 'uniqueLocal', 'linkLocal']);

/**
 * Reads `TRUST_PROXY`: `loopback` (also `linklocal`, `uniquelocal`), a comma-separated list of addresses and CIDR
 * ranges, or a hop count (`0` trusts nobody). Blank means `loopback`.
 *
 * @throws Error naming the faulty entry by its place, never by its value.
 */
export function parseTrustProxy(text: string): TrustProxyPolicy {
  const trimmed = text.trim();
  if (trimmed === '') return { kind: 'ranges', ranges: parseRanges('TRUST_PROXY', 'loopback') };
  if (/^\d+$/.test(trimmed)) {
    const hops = Number(trimmed);
    if (hops > HOPS_MAX) throw new Error(`TRUST_PROXY: a hop count is at most ${HOPS_MAX}`);
    return { kind: 'hops', hops };
  }
  const ranges = parseRanges('TRUST_PROXY', trimmed);
  if (ranges.some(([, bits]) => bits === 0)) {
    throw new Error(
      'TRUST_PROXY: a /0 range would let every client forge its address; list the proxies only',
    );
  }
  return { kind: 'ranges', ranges };
}

/**
 * The address a request is counted, audited and guarded by: from the peer, walk `X-Forwarded-For` from the right for
 * as long as the one who said it is trusted. Junk stops the walk at the last address that was vouched for.
 * A hop count is believed only from a private or loopback peer, so that exposing the port by mistake opens nothing.
 * IPv4-mapped addresses come back as IPv4, zones are cut. (attacks.md family 6)
 */
export function clientAddress(request: {
  peer: string | undefined;
  forwardedFor: string | readonly string[] | undefined;
  policy: TrustProxyPolicy;
}): string {
  const peer = parseAddress(request.peer);
  if (!peer) return UNSPECIFIED_ADDRESS;
  const header =
    typeof request.forwardedFor === 'string' ? request.forwardedFor : request.forwardedFor?.join(',');
  if (!header) return peer.toString();
  const { policy } = request;
  if (policy.kind === 'hops' && !NEAR_RANGES.has(peer.range())) return peer.toString();

  let current = peer;
  let rest: string | undefined = header;
  for (let hop = 0; rest !== undefined; hop += 1) {
    const trusted = policy.kind === 'hops' ? hop < policy.hops : inRanges(current, policy.ranges);
    if (!trusted) break;
    // One entry at a time from the right: a 16 kB header of commas costs no more than the trusted part of it.
    const comma: number = rest.lastIndexOf(',');
    const next = parseAddress(withoutPort(rest.slice(comma + 1).trim()));
    if (!next) break;
    current = next;
    rest = comma === -1 ? undefined : rest.slice(0, comma);
  }
  return current.toString();
}

/** What an address is counted under: IPv4 as it is, IPv6 by its /64 (one customer holds at least that much). */
export function addressKey(ip: string): string {
  const address = parseAddress(ip);
  if (!address) return UNSPECIFIED_ADDRESS;
  if (address instanceof ipaddr.IPv4) return address.toString();
  const network = new ipaddr.IPv6([...address.parts.slice(0, 4), 0, 0, 0, 0]);
  return `${network.toString()}/64`;
}

/** Keys of one network at most: an IPv4 /24, or an IPv6 /56. */
const KEYS_MAX = 256;

/**
 * Every key that the addresses of a network are counted under (see {@link addressKey}); an address is a network of its
 * own. Undefined: it is no network, or one too large to go through key by key.
 */
export function addressKeysOf(network: string): string[] | undefined {
  const range = parseRange(network.trim());
  if (range === undefined) return undefined;
  const [address, bits] = range;
  const counted = address.kind() === 'ipv4' ? 32 : 64;
  const count = 2 ** Math.max(0, counted - bits);
  if (count > KEYS_MAX) return undefined;
  const bytes = address.toByteArray();
  // At most 256 keys are all of one byte: the last that counts.
  const last = counted / 8 - 1;
  const first = (bytes[last] ?? 0) & ~(count - 1);
  return Array.from({ length: count }, (_, index) =>
    addressKey(ipaddr.fromByteArray(bytes.with(last, first + index)).toString()),
  );
}

/**
 * A test for membership in a (comma-separated) list of addresses and CIDR ranges (`METRICS_GUARD_ALLOWLIST`).
 * An empty list admits nobody.
 *
 * @param setting name of the setting, for the error.
 * @throws Error naming the faulty entry by its place, never by its value.
 */
export function cidrMatcher(
  list: string | readonly string[],
  setting = 'METRICS_GUARD_ALLOWLIST',
): (ip: string) => boolean {
  const text = typeof list === 'string' ? list : list.join(',');
  const ranges = text.trim() === '' ? [] : parseRanges(setting, text);
  return (ip) => {
    const address = parseAddress(ip);
    return address !== undefined && inRanges(address, ranges);
  };
}

function parseRanges(setting: string, list: string): Range[] {
  return list.split(',').flatMap((raw, index) => {
    const entry = raw.trim();
    const named = NAMED_RANGES[entry.toLowerCase()];
    return (named ?? [entry]).map((text) => {
      const range = parseRange(text);
      if (!range) {
        throw new Error(
          `${setting}: entry ${index + 1} is not an IP address, a CIDR range or one of ${Object.keys(NAMED_RANGES).join(', ')}`,
        );
      }
      return range;
    });
  });
}

function parseRange(text: string): Range | undefined {
  const slash = text.indexOf('/');
  const host = slash === -1 ? text : text.slice(0, slash);
  const family = isIP(host);
  if (family === 0 || host.includes('%')) return undefined;
  const address = ipaddr.parse(host);
  const width = family === 4 ? 32 : 128;
  const suffix = slash === -1 ? String(width) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(suffix)) return undefined;
  const bits = Number(suffix);
  if (bits > width) return undefined;
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96) {
    return [address.toIPv4Address(), bits - 96];
  }
  return [address, bits];
}

function inRanges(address: Address, ranges: readonly Range[]): boolean {
  return ranges.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
}

/** Strict by `net.isIP` (ipaddr.js also reads `127.1`, octal and hexadecimal spellings, which a peer never writes). */
function parseAddress(text: string | undefined): Address | undefined {
  if (text === undefined) return undefined;
  const zone = text.indexOf('%');
  const bare = zone === -1 ? text : text.slice(0, zone);
  return isIP(bare) === 0 ? undefined : ipaddr.process(bare);
}

/** Some proxies write `1.2.3.4:5678` or `[2001:db8::1]:443`. */
function withoutPort(entry: string): string {
  return entry.replace(/^\[([^\]]*)\](?::\d{1,5})?$/, '$1').replace(/^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/, '$1');
}
