import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical.ts';

/** Where a chain stands: how many records it has, and the hash of the last. */
export interface Head {
  /** The chain's name: a tenant's id, or `platform`. */
  readonly chain: string;
  /** Of the last record; 0 before the first. */
  readonly sequence: number;
  /** 32 bytes. */
  readonly hash: Buffer;
}

/**
 * What of a record is hashed: every column but what may be erased, and of that its digest. Also what could be worked out
 * from the rest (severity, actor, …), because searches go by it: a row that searches no longer find is as good as gone.
 */
export interface Content {
  readonly id: string;
  readonly type: string;
  readonly severity: string;
  readonly outcome: string | null;
  /** RFC 3339 with milliseconds, UTC. */
  readonly occurred_at: string;
  readonly source: string;
  readonly tenant_id: string | null;
  readonly user_id: string | null;
  readonly actor: string | null;
  readonly subject: string | null;
  readonly trace_id: string | null;
  /** The payload without its personal fields, as JSON. */
  readonly data: unknown;
  /** {@link personalDigest}, in hex; null when there was nothing personal. */
  readonly personal: string | null;
}

const CONTENT = Buffer.from('gatehouse/audit/content/1\n');
const LINK = Buffer.from('gatehouse/audit/link/1\n');
const PERSONAL = Buffer.from('gatehouse/audit/personal/1\n');

const sha256 = (...parts: readonly (Uint8Array | string)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** SHA-256 of a record's content. */
export function contentHash(content: Content): Buffer {
  const { id, type, severity, outcome, occurred_at, source, data, personal } = content;
  const { tenant_id, user_id, actor, subject, trace_id } = content;
  const about = { tenant_id, user_id, actor, subject, trace_id };
  return sha256(
    CONTENT,
    canonicalJson({ id, type, severity, outcome, occurred_at, source, ...about, data, personal }),
  );
}

/**
 * Stands for personal fields in the hashed content. The salt makes it useless for guessing an address from it; without
 * salt and fields (erased) the chain still verifies.
 */
export function personalDigest(salt: Uint8Array, fields: Readonly<Record<string, unknown>>): Buffer {
  return sha256(PERSONAL, Buffer.from(salt), canonicalJson(fields));
}

/** What a chain begins with: its name, so that no record of one chain fits into another. */
export function genesis(chain: string): Head {
  return { chain, sequence: 0, hash: sha256(LINK, `genesis\n${chain}`) };
}

/**
 * The head after one more record: its place, when it was recorded (milliseconds since 1970) and everything before it are
 * in its hash.
 */
export function nextHead(head: Head, content: Uint8Array, recordedAtMs: number): Head {
  const place = Buffer.alloc(16);
  const sequence = head.sequence + 1;
  place.writeBigInt64BE(BigInt(sequence), 0);
  place.writeBigInt64BE(BigInt(recordedAtMs), 8);
  return { chain: head.chain, sequence, hash: sha256(LINK, place, head.hash, content) };
}
