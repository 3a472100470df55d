import type { SystemClient, SystemReply } from './system-client.ts';
import { type ServerTrust, trustOf } from './system-client-servers.ts';

/** What one server says of itself; undefined where it did not answer that question. */
export interface ServerFacts {
  readonly name: string;
  /** Its public key: another one after each start. */
  readonly id: string;
  readonly version: string;
  /** HEALTHZ: null is sound, a text what it complains of. */
  readonly complaint: string | null | undefined;
  readonly trust: ServerTrust | undefined;
  readonly varz: VarzFacts | undefined;
}

interface VarzFacts {
  /** End of its certificate; null without TLS. */
  readonly certificateEndsAt: Date | null;
  readonly jetstream: boolean;
  /** Since its start. */
  readonly slowConsumers: number;
  readonly connections: number;
  readonly startedAt: string;
  /** How far its clock is from ours, in milliseconds. */
  readonly clockSkewMs: number;
  readonly maxPayload: number;
}

/** Asks every server of a cluster how it is: who is there, then VARZ and HEALTHZ of each. */
export async function lookAtServers(
  client: SystemClient,
  known: readonly { readonly server_name: string; readonly server_id: string }[],
): Promise<ServerFacts[]> {
  let servers = await client.servers(known.map(({ server_id }) => server_id));
  // One lost message is no dead server; a server that was started again has another id, and the same name.
  const missing = known.some(({ server_name }) => !servers.some(({ name }) => name === server_name));
  if (missing) {
    const again = await client.servers(known.map(({ server_id }) => server_id));
    servers = [...new Map([...servers, ...again].map((server) => [server.id, server])).values()];
  }
  const expect = servers.length;
  const [varz, healthz] = await Promise.all([
    client.requestAll('$SYS.REQ.SERVER.PING.VARZ', '', { expect }),
    client.requestAll('$SYS.REQ.SERVER.PING.HEALTHZ', '', { expect }),
  ]);
  const at = Date.now();
  const of = (replies: readonly SystemReply[], id: string) =>
    replies.find((reply) => reply.server?.id === id && reply.error === undefined);
  return servers.map(({ name, id, version }) => {
    const facts = of(varz.replies, id);
    return {
      name,
      id,
      version,
      complaint: complaintOf(of(healthz.replies, id)),
      trust: facts && trustOf(facts, { name, id }),
      varz: facts && varzOf(facts.data, at),
    };
  });
}

function complaintOf(reply: SystemReply | undefined): string | null | undefined {
  if (reply === undefined) return undefined;
  const { status, error } = (reply.data ?? {}) as { status?: unknown; error?: unknown };
  if (status === 'ok') return null;
  return readable(error ?? status ?? 'it gave no reason');
}

function varzOf(data: unknown, at: number): VarzFacts {
  const varz = (data ?? {}) as Record<string, unknown>;
  const ends = new Date(String(varz.tls_cert_not_after ?? ''));
  const now = Date.parse(String(varz.now ?? ''));
  const jetstream = (varz.jetstream ?? {}) as { config?: unknown };
  return {
    // Go's zero time stands for none.
    certificateEndsAt: Number.isFinite(ends.getTime()) && ends.getUTCFullYear() > 1 ? ends : null,
    jetstream: jetstream.config !== undefined && jetstream.config !== null,
    slowConsumers: numberOf(varz.slow_consumers),
    connections: numberOf(varz.connections),
    startedAt: readable(varz.start ?? ''),
    clockSkewMs: Number.isFinite(now) ? now - at : 0,
    maxPayload: numberOf(varz.max_payload),
  };
}

const numberOf = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : 0);

/** What a server says, fit for a log, an event and a terminal. */
export function readable(value: unknown): string {
  const text = String(value).slice(0, 300);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
