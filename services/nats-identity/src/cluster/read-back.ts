import { createHash } from 'node:crypto';
import type { SystemClient } from './system-client.ts';

/** What one server has of an account, as proven by asking it. */
export interface ServerProof {
  /** SHA-256 (hex) of the JWT that it stores; null: none, another, or it cannot be said which server has another. */
  stored: string | null;
  /** SHA-256 (hex) of the JWT that it enforces, or `not_loaded`: then it will take the stored one. null: unknown. */
  enforced: string | null;
  /** RFC 3339. */
  at: string;
  error?: string;
}

/** What all servers that store JWTs answered of one account. The protocol does not say who answered what. */
export interface Stored {
  /** Each answer: the JWT as stored, or empty. */
  readonly jwts: readonly Buffer[];
  readonly complete: boolean;
}

/** Asks every full resolver for the JWT of an account as it lies on its disk. */
export async function readStored(
  client: SystemClient,
  publicKey: string,
  stores: number,
  timeoutMs: number = client.timeoutFor(0),
): Promise<Stored> {
  const { replies, complete } = await client.requestAll(`$SYS.REQ.ACCOUNT.${publicKey}.CLAIMS.LOOKUP`, '', {
    expect: stores,
    timeoutMs,
  });
  return {
    jwts: replies.map(({ raw }) => Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength)),
    complete,
  };
}

/** What every server enforces of an account: by its name the JWT, or undefined while it is not loaded there. */
export async function readEnforced(
  client: SystemClient,
  publicKey: string,
  servers: number,
  timeoutMs: number = client.timeoutFor(0),
): Promise<ReadonlyMap<string, string | undefined>> {
  const { replies } = await client.requestAll(`$SYS.REQ.ACCOUNT.${publicKey}.INFO`, '', {
    expect: servers,
    timeoutMs,
  });
  const found = new Map<string, string | undefined>();
  for (const { server, data, error } of replies) {
    if (server === undefined) continue;
    const jwt = error === undefined ? (data as { jwt?: unknown } | undefined)?.jwt : undefined;
    found.set(server.name, typeof jwt === 'string' ? jwt : undefined);
  }
  return found;
}

/** SHA-256 of a JWT, in hex. */
export const hexOf = (jwt: string | Uint8Array): string => createHash('sha256').update(jwt).digest('hex');

/** What is compared with what servers say. */
export interface Wanted {
  readonly publicKey: string;
  readonly jwt: string;
  readonly hash: string;
}

/** What reading back one account found. */
export interface ReadBack {
  readonly servers: Record<string, ServerProof>;
  /** Why it is not proven, in words; undefined: every server stores it, and enforces it or will when it loads it. */
  readonly error: string | undefined;
  readonly cause: 'not_stored' | 'not_enforced' | undefined;
}

/**
 * Proves one account on every server of a list (names): stored by all that store, enforced by all that have it loaded.
 * An answer 200 to a push proves neither (nats-protocol, facts 1 and 2).
 */
export async function readBack(
  client: SystemClient,
  wanted: Wanted,
  { names, stores }: { readonly names: readonly string[]; readonly stores: number },
): Promise<ReadBack> {
  const timeoutMs = client.timeoutFor(wanted.jwt.length);
  const [stored, enforced] = await Promise.all([
    readStored(client, wanted.publicKey, stores, timeoutMs),
    readEnforced(client, wanted.publicKey, names.length, timeoutMs),
  ]);
  const ours = Buffer.from(wanted.jwt);
  const right = stored.jwts.filter((jwt) => jwt.equals(ours)).length;
  const storedError =
    right === stores
      ? undefined
      : `${right} of ${stores} servers store it${stored.complete ? '' : ', not all answered'}`;
  const at = new Date().toISOString();
  const servers: Record<string, ServerProof> = {};
  const wrong: string[] = [];
  const silent: string[] = [];
  for (const name of names) {
    const jwt = enforced.get(name);
    const answered = enforced.has(name);
    if (jwt !== undefined && jwt !== wanted.jwt) wrong.push(name);
    // A JWT of hundreds of kilobytes makes an answer larger than servers send: what they enforce cannot be asked.
    if (!answered && !isHuge(client, wanted.jwt)) silent.push(name);
    servers[name] = {
      stored: storedError === undefined && stores > 0 ? wanted.hash : null,
      enforced: jwt !== undefined ? hexOf(jwt) : answered ? 'not_loaded' : null,
      at,
    };
  }
  for (const name of wrong) Object.assign(servers[name] ?? {}, { error: 'enforces another JWT' });
  for (const name of silent) Object.assign(servers[name] ?? {}, { error: 'does not say what it enforces' });
  const enforcedError =
    wrong.length > 0
      ? `another JWT is enforced by ${wrong.join(', ')}`
      : silent.length > 0
        ? `no answer from ${silent.join(', ')}`
        : undefined;
  return {
    servers,
    error: storedError ?? enforcedError,
    cause:
      storedError !== undefined ? 'not_stored' : enforcedError !== undefined ? 'not_enforced' : undefined,
  };
}

/** The answer to INFO holds the JWT twice, once taken apart. */
const isHuge = (client: SystemClient, jwt: string) => jwt.length * 3 > client.maxPayload;
