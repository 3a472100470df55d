import { Problem } from '@gatehouse/kit';
import Type from 'typebox';

const schemes = new Set(['nats:', 'tls:', 'ws:', 'wss:']);

/** Addresses of a cluster's servers as a caller sends them. */
export const ServerAddresses = Type.Array(Type.String({ minLength: 1, maxLength: 512 }), {
  minItems: 1,
  maxItems: 16,
  description:
    'Addresses of its servers: nats://, tls://, ws:// or wss://, host and port, nothing else. Private addresses are allowed: clusters live there.',
});

/**
 * Addresses in one form, each once. Who signs in and what is asked there is ours to say: an address with a user, a path
 * or a query is refused.
 * @throws Problem `invalid_request`
 */
export function serverAddresses(given: readonly string[]): string[] {
  const errors: { pointer: string; message: string }[] = [];
  const found = given.map((text, index) => {
    const fault = faultOf(text);
    if (fault !== undefined) errors.push({ pointer: `/servers/${index}`, message: fault });
    return fault === undefined ? addressOf(text) : '';
  });
  if (errors.length === 0 && new Set(found.map((one) => one.startsWith('ws'))).size > 1)
    errors.push({ pointer: '/servers', message: 'mixes nats with websocket addresses: give one kind' });
  if (errors.length > 0)
    throw new Problem('invalid_request', {
      detail: 'An address of a server cannot be used; `errors` says which.',
      members: { errors },
    });
  return [...new Set(found)];
}

/** What is wrong with an address; never repeats it. */
function faultOf(text: string): string | undefined {
  // The parser of URLs forgives white space, control characters and backslashes; nobody means them.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
  if (/[\u0000-\u0020\u007f-\u009f\\]/.test(text)) return 'holds characters that an address does not have';
  const url = parse(text);
  if (url === undefined) return 'is not a URL such as nats://10.0.0.5:4222';
  if (!schemes.has(url.protocol)) return 'must begin with nats://, tls://, ws:// or wss://';
  if (url.username !== '' || url.password !== '' || text.includes('@')) return 'must not name a user';
  if ((url.pathname !== '' && url.pathname !== '/') || text.includes('?') || text.includes('#'))
    return 'must have no path, query or fragment';
  const host = hostOf(url);
  if (host === undefined) return 'has no host name or address that can be used';
  return url.port === '0' ? 'must name a port from 1 to 65535' : undefined;
}

function parse(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

// For schemes that it does not know, the parser leaves a host as it was written; as http it is checked and put in order.
function hostOf(url: URL): string | undefined {
  const as = parse(`http://${url.host}`);
  if (as === undefined || as.hostname === '') return undefined;
  const { hostname } = as;
  if (hostname.length > 255) return undefined;
  const named = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,62}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,62}[a-z0-9_])?\.?$/;
  return hostname.startsWith('[') || named.test(hostname) ? hostname : undefined;
}

function addressOf(text: string): string {
  const url = new URL(text);
  const port = url.port || defaultPorts[url.protocol] || '4222';
  return `${url.protocol}//${hostOf(url)}:${port}`;
}

const defaultPorts: Readonly<Record<string, string>> = { 'ws:': '80', 'wss:': '443' };
