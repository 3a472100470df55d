import { checkServerIdentity, type PeerCertificate, TLSSocket } from 'node:tls';
import type { buildConnector } from 'undici';
import type { Metrics } from './metrics.ts';

/** Whose connections, and what they lead to: labels of `tls_certificate_expiry_timestamp_seconds`. */
export interface CertificateLabels {
  readonly service: string;
  readonly dep: 'db' | 'nats' | 'redis' | 'peer' | 'cluster';
}

/** Takes a certificate that the server at an address has shown. */
export type NoteCertificate = (address: string, shown: PeerCertificate) => void;

/**
 * A connection that stays open shows the certificate of the day it was made: who keeps one for long shakes hands again
 * this often, so that a renewed certificate is seen before the old one would have ended.
 */
export const LOOK_AGAIN_MS = 3_600_000;
/** An address that has not been seen for so long is nobody's any more. */
const FORGOTTEN_SECONDS = 26 * 3_600;

interface Reading {
  readonly labels: CertificateLabels;
  readonly endsAt: number;
  readonly readAt: number;
}

const readingsOf = new WeakMap<Metrics, Map<string, Reading>>();

/**
 * Keeps `tls_certificate_*` of one kind of connection: of several addresses, the certificate that ends first. Which
 * address it is does not become a label; `gatehouse doctor` tells.
 */
export function noteCertificate(metrics: Metrics, labels: CertificateLabels): NoteCertificate {
  const readings = readingsOf.get(metrics) ?? new Map<string, Reading>();
  readingsOf.set(metrics, readings);
  return (address, shown) => {
    const endsAt = firstEnd(shown);
    if (!Number.isFinite(endsAt)) return;
    const readAt = Date.now() / 1000;
    readings.set(`${labels.service} ${labels.dep} ${address}`, { labels, endsAt, readAt });
    publish(metrics, readings.values());
  };
}

/** Lets go of what nobody has seen for more than a day: a cluster that was removed, a server that moved. */
export function forgetCertificates(metrics: Metrics, now = Date.now() / 1000): void {
  const readings = readingsOf.get(metrics);
  const old = [...(readings ?? [])].filter(([, { readAt }]) => now - readAt > FORGOTTEN_SECONDS);
  if (readings === undefined || old.length === 0) return;
  for (const [key] of old) readings.delete(key);
  publish(metrics, readings.values());
}

function publish(metrics: Metrics, readings: Iterable<Reading>): void {
  metrics.certificateExpiry.reset();
  metrics.certificateRead.reset();
  const first = new Map<string, Reading>();
  for (const reading of readings) {
    const key = `${reading.labels.service} ${reading.labels.dep}`;
    if (reading.endsAt < (first.get(key)?.endsAt ?? Number.POSITIVE_INFINITY)) first.set(key, reading);
  }
  for (const { labels, endsAt, readAt } of first.values()) {
    metrics.certificateExpiry.set({ ...labels }, endsAt);
    metrics.certificateRead.set({ ...labels }, readAt);
  }
}

/** Of the whole chain, seconds since 1970: an authority that ends takes all it has signed with it. */
function firstEnd(shown: PeerCertificate): number {
  const seen = new Set<object>();
  let first = Number.POSITIVE_INFINITY;
  let certificate: (PeerCertificate & { issuerCertificate?: PeerCertificate }) | undefined = shown;
  // A root is its own issuer.
  while (certificate?.valid_to !== undefined && !seen.has(certificate)) {
    seen.add(certificate);
    first = Math.min(first, Date.parse(certificate.valid_to) / 1000);
    certificate = certificate.issuerCertificate;
  }
  return first;
}

/** Notes what a socket's other side has shown; nothing without TLS. Whether there was something. */
export function noteSocket(note: NoteCertificate, address: string, socket: unknown): boolean {
  if (!(socket instanceof TLSSocket)) return false;
  const shown = socket.getPeerCertificate(true);
  if (shown.valid_to === undefined) return false;
  note(address, shown);
  return true;
}

/** For libraries that keep their sockets to themselves: Node's own check of the name, which hears of each handshake. */
export function notingIdentity(note: NoteCertificate): typeof checkServerIdentity {
  return (host, shown) => {
    note(host, shown);
    return checkServerIdentity(host, shown);
  };
}

/** undici's connector, telling what each connection was shown. */
export function notingConnector(
  connect: buildConnector.connector,
  note: NoteCertificate,
): buildConnector.connector {
  return (options, callback) =>
    connect(options, (...made) => {
      noteSocket(note, options.host ?? options.hostname, made[1]);
      callback(...made);
    });
}
