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

/** What of a record is hashed: everything but what may be erased, and of that its digest. */
export interface Content {
  readonly id: string;
  readonly type: string;
  /** RFC 3339 with milliseconds, UTC. */
  readonly occurred_at: string;
  readonly source: string;
  readonly tenant_id: string | null;
  readonly trace_id: string | null;
  readonly data: unknown;
  /** {@link personalDigest}, in hex; null when there was nothing personal. */
  readonly personal: string | null;
}

const CONTENT = Buffer.from('gatehouse/audit/content/1\n');
const LINK = Buffer.from('gatehouse/audit/link/1\n');
const PERSONAL = Buffer.from('gatehouse/audit/personal/1\n');

const sha256 = (...parts: readonly (Buffer | string)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** SHA-256 of a record's content. */
export function contentHash(content: Content): Buffer {
  const { id, type, occurred_at, source, tenant_id, trace_id, data, personal } = content;
  return sha256(
    CONTENT,
    canonicalJson({ id, type, occurred_at, source, tenant_id, trace_id, data, personal }),
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

/** The head after one more record: its place and everything before it are in its hash. */
export function nextHead(head: Head, content: Buffer): Head {
  const place = Buffer.alloc(8);
  const sequence = head.sequence + 1;
  place.writeBigUInt64BE(BigInt(sequence));
  return { chain: head.chain, sequence, hash: sha256(LINK, place, head.hash, content) };
}
