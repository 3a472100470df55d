import { decodeJwt, JwtError } from '@gatehouse/nats-claims';
import type { SystemClient, SystemReply } from './system-client.ts';

/** A server as its answer to PING shows it. */
export interface ClusterServer {
  readonly name: string;
  /** Its public key: another one after each start. */
  readonly id: string;
  readonly version: string;
  /** How many servers it knows, itself among them. */
  readonly activeServers: number;
}

/** How long somebody known is waited for of whom those who answer no longer know. */
const STALL_MS = 500;

/**
 * Asks PING. Nobody says how many there are, so: over when as many answered as any of them knows of, and all of `known`
 * (ids); soon after that when only known ones are missing; otherwise when the time is over.
 */
export async function readServers(client: SystemClient, known: Iterable<string>): Promise<ClusterServer[]> {
  const missing = new Set(known);
  const found = new Map<string, ClusterServer>();
  let most = 1;
  await client.requestAll('$SYS.REQ.SERVER.PING', '', {
    until(all) {
      const server = serverOf(all.at(-1));
      if (server !== undefined) {
        found.set(server.id, server);
        missing.delete(server.id);
        most = Math.max(most, server.activeServers);
      }
      return missing.size === 0 && found.size >= most;
    },
    stallMs: () => (found.size >= most ? STALL_MS : undefined),
  });
  return [...found.values()];
}

function serverOf(reply: SystemReply | undefined): ClusterServer | undefined {
  if (reply?.server === undefined || reply.json === undefined) return undefined;
  const { ver } = reply.json.server as { ver?: unknown };
  const { active_servers } = (reply.json.statsz ?? {}) as { active_servers?: unknown };
  return { ...reply.server, version: String(ver ?? ''), activeServers: Number(active_servers ?? 0) };
}

/** Whose signatures a server takes, as it was started: it must be started again to change its mind. */
export interface ServerTrust {
  readonly name: string;
  readonly id: string;
  /** Public keys that may sign accounts. */
  readonly issuers: ReadonlySet<string>;
  /** `iat` of the operator JWTs that it has. */
  readonly operators: readonly { readonly publicKey: string; readonly iat: number }[];
  readonly systemAccount: string | undefined;
}

/** Asks every server which operators it trusts. Some may be missing from the answer. */
export async function readTrust(client: SystemClient, expect: number): Promise<ServerTrust[]> {
  const { replies } = await client.requestAll('$SYS.REQ.SERVER.PING.VARZ', '', { expect });
  return replies.flatMap((reply) =>
    reply.server === undefined || reply.error ? [] : trustOf(reply, reply.server),
  );
}

/** What a VARZ answer says of a server's trust. */
export function trustOf(
  { data }: SystemReply,
  { name, id }: { readonly name: string; readonly id: string },
): ServerTrust {
  const { trusted_operators_jwt: jwts, system_account: system } = (data ?? {}) as Record<string, unknown>;
  const issuers = new Set<string>();
  const operators: { publicKey: string; iat: number }[] = [];
  for (const jwt of Array.isArray(jwts) ? jwts : []) {
    try {
      const { sub, iat, nats } = decodeJwt(String(jwt));
      operators.push({ publicKey: sub, iat });
      if (nats.strict_signing_key_usage !== true) issuers.add(sub);
      for (const key of Array.isArray(nats.signing_keys) ? nats.signing_keys : []) issuers.add(String(key));
    } catch (error) {
      if (!(error instanceof JwtError)) throw error;
    }
  }
  return { name, id, issuers, operators, systemAccount: typeof system === 'string' ? system : undefined };
}
