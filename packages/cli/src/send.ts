import { Fault } from './fault.ts';
import { warn } from './report-error.ts';

/** What goes with a request. */
export interface Asked {
  readonly body?: Readonly<Record<string, unknown>> | undefined;
  /** The revision that the object must still have (RFC 9110 §13.1.1). */
  readonly ifMatch?: string | undefined;
  readonly timeoutMs?: number;
}

/** One request; `token` and what is in the body may be secret. */
export interface Outgoing {
  readonly method: string;
  readonly path: string;
  readonly asked: Asked;
  readonly token?: string | undefined;
}

const TIMEOUT_MS = 30_000;

/**
 * Sends a request and answers as soon as the head of the answer is there. A redirect is never followed: the token, or
 * the password in the body, would go where nobody has said it may.
 * @throws Fault when nothing answers, or something else than the installation
 */
export async function send(address: string, { method, path, asked, token }: Outgoing): Promise<Response> {
  const { body, ifMatch, timeoutMs = TIMEOUT_MS } = asked;
  if (token !== undefined || body !== undefined) warnOfPlainHttp(address);
  const answer = await fetch(`${address}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      'user-agent': 'gatehouse-cli',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: Error) => {
    throw unreachable(address, error);
  });
  if (answer.status < 300 || answer.status > 399 || answer.status === 304) return answer;
  await answer.body?.cancel();
  const to = answer.headers.get('location') ?? '';
  const where = URL.canParse(to, address) ? new URL(to, address).origin : 'elsewhere';
  throw new Fault(
    `${address} redirects to ${where}, which is not followed with a sign-in: if that is the installation, say --url ${where}`,
  );
}

const warned = new Set<string>();

function warnOfPlainHttp(address: string): void {
  const { protocol, hostname } = new URL(address);
  if (protocol !== 'http:' || isLoopback(hostname) || warned.has(address)) return;
  warned.add(address);
  warn(`passwords and tokens go to ${address} unencrypted: use https, or a tunnel to this machine`);
}

/** Whether a host of a URL is this machine. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' ||
  host.endsWith('.localhost') ||
  host === '[::1]' ||
  /^127(?:\.\d{1,3}){3}$/.test(host);

/** What Node and OpenSSL say of certificates. */
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/;

function unreachable(address: string, error: Error): Fault {
  const code = (error.cause as { code?: string } | undefined)?.code ?? error.name;
  if (CERTIFICATE.test(code))
    return new Fault(
      `the certificate of ${address} is not trusted (${code}): mend it, or name its authority in NODE_EXTRA_CA_CERTS`,
    );
  if (code === 'TimeoutError') return new Fault(`${address} has not answered in time: look at its /health`);
  return new Fault(`${address} cannot be reached (${code}): is the platform running, is --url right?`);
}
