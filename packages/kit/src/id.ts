import { randomBytes, randomUUIDv7 } from 'node:crypto';

/** A new id: UUID v7 (RFC 9562 §5.7), so that ids of one table rise with time and keep its index dense. */
export function newId(): string {
  return randomUUIDv7();
}

/** 256 random bits. */
export function newSecretBytes(): Buffer {
  return randomBytes(32);
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether a text has the form of a UUID of any version. */
export function isUuid(text: string): boolean {
  return uuid.test(text);
}
