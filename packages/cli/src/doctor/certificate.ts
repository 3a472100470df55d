import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { type Check, failed, measured, spoken } from './check.ts';

/** An address that speaks TLS, and how the talk begins there. */
export interface TlsAddress {
  /** What leads there, for people: `--url`, `NATS_URL`. */
  readonly setting: string;
  readonly host: string;
  readonly port: number;
  /** NATS and Postgres first say something in the clear. */
  readonly begins: 'tls' | 'nats' | 'postgres';
}

const TIMEOUT_MS = 4_000;
const DAY_SECONDS = 86_400;

const ports: Readonly<Record<string, number>> = { 'https:': 443, 'rediss:': 6380, 'tls:': 4222 };

/** The TLS addresses among settings; several addresses of one setting are one each. */
export function tlsAddresses(
  url: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): TlsAddress[] {
  const named = [
    ['the installation', url],
    ['RATE_LIMIT_REDIS_URL', env.RATE_LIMIT_REDIS_URL],
    ...['AUTH_URL', 'TOKEN_URL', 'AUDIT_URL', 'NATS_IDENTITY_URL', 'GATEWAY_URL', 'NATS_URL'].flatMap(
      (name) => (env[name] ?? '').split(',').map((one) => [name, one.trim()]),
    ),
  ] as [string, string | undefined][];
  const found = named.flatMap(([setting, text]) => {
    const at = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
    const port = at === undefined ? undefined : ports[at.protocol];
    if (at === undefined || port === undefined) return [];
    const begins = at.protocol === 'tls:' ? ('nats' as const) : ('tls' as const);
    return [{ setting, host: bare(at.hostname), port: Number(at.port) || port, begins }];
  });
  const database = env.DATABASE_URL?.trim();
  if (database && URL.canParse(database)) {
    const { hostname, port, searchParams } = new URL(database);
    if (hostname !== '' && /^(?:require|verify-ca|verify-full)$/.test(searchParams.get('sslmode') ?? ''))
      found.push({
        setting: 'DATABASE_URL',
        host: bare(hostname),
        port: Number(port) || 5432,
        begins: 'postgres' as never,
      });
  }
  return found;
}

/** Without the brackets of IPv6. */
const bare = (hostname: string): string => hostname.replace(/^\[|\]$/g, '');

/** When the certificate of an address ends, and whether this machine trusts it. */
export async function examineCertificate(address: TlsAddress): Promise<Check> {
  const { setting, host, port } = address;
  const name = 'certificate';
  const where = `${host}:${port} (${setting})`;
  let socket: TLSSocket | undefined;
  try {
    socket = await shakeHands(address);
    const { valid_to } = socket.getPeerCertificate();
    const left = (Date.parse(valid_to) - Date.now()) / 1000;
    const remedy = 'renew it, and see that the server has loaded the new one';
    if (left <= 0) return failed(name, `${where}: ended ${spoken(-left)} ago`, { remedy });
    if (!socket.authorized)
      return failed(name, `${where}: not trusted (${String(socket.authorizationError)})`, {
        remedy:
          'serve the whole chain for this host name, or name the authority in NODE_EXTRA_CA_CERTS of every process',
      });
    const finding = `${where}: ends in ${spoken(left)}`;
    return measured(name, -left, { warn: -21 * DAY_SECONDS, fail: -3 * DAY_SECONDS }, { finding, remedy });
  } catch (error) {
    const reason = (error as { code?: string }).code ?? (error as Error).message;
    return failed(name, `${where}: no TLS there (${reason})`, {
      remedy: 'is the server up, and does it speak TLS on this port?',
    });
  } finally {
    socket?.destroy();
  }
}

async function shakeHands(address: TlsAddress): Promise<TLSSocket> {
  const { host, port } = address;
  const abort = new AbortController();
  const late = delay(TIMEOUT_MS, undefined, { signal: abort.signal }).then(() => {
    throw Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' });
  });
  late.catch(() => {});
  const plain = connect({ host, port });
  try {
    await Promise.race([once(plain, 'connect'), late]);
    await Promise.race([askForTls(plain, address.begins), late]);
    // Looked at whether or not it is trusted: an untrusted one is the finding. Nothing is sent over it.
    const socket = tlsConnect({
      socket: plain,
      rejectUnauthorized: false,
      ...(isIP(host) === 0 && { servername: host }),
      ...(isIP(host) !== 0 && { host }),
    });
    await Promise.race([once(socket, 'secureConnect'), late]);
    return socket;
  } catch (error) {
    plain.destroy();
    throw error;
  } finally {
    abort.abort();
  }
}

/** `SSLRequest` of the Postgres protocol: length and code. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

async function askForTls(socket: Socket, begins: TlsAddress['begins']): Promise<void> {
  if (begins === 'tls') return;
  if (begins === 'postgres') socket.write(SSL_REQUEST);
  const [first] = (await once(socket, 'data')) as [Buffer];
  const willing = begins === 'nats' ? first.toString('latin1').startsWith('INFO ') : first[0] === 0x53;
  if (!willing) throw new Error('the server does not offer TLS');
}
