import { createHmac } from 'node:crypto';
import { constantTimeEqual } from './secret.ts';

/** What a list's position is made of: the sort keys of the last row given out. */
export type CursorPosition = readonly (string | number | boolean | null)[];

/** Which list a cursor belongs to. It reads only where all of it is the same. */
export interface CursorBinding {
  /** Name of the list, such as `audit.events`. */
  readonly list: string;
  /** The tenant it was made in; undefined for lists across tenants. */
  readonly tenantId?: string | undefined;
  /** The filters in force; the order of the names does not matter, undefined counts as absent. */
  readonly filters?: Readonly<
    Record<string, string | number | boolean | readonly string[] | null | undefined>
  >;
}

const CURSOR_CHARS_MAX = 2048;

/** An opaque `next_cursor`: the position with an HMAC-SHA256 over it and over the list it belongs to. */
export function signCursor(key: Uint8Array, position: CursorPosition, bindTo: CursorBinding): string {
  const payload = Buffer.from(JSON.stringify(position)).toString('base64url');
  return `${payload}.${mac(key, payload, bindTo)}`;
}

/** The position, or `undefined` when the cursor was changed or made for another list, filter or tenant (400 `bad_cursor`). */
export function readCursor(key: Uint8Array, text: string, bindTo: CursorBinding): CursorPosition | undefined {
  if (text.length > CURSOR_CHARS_MAX) return undefined;
  const dot = text.indexOf('.');
  if (dot === -1) return undefined;
  const payload = text.slice(0, dot);
  // Texts are compared, not decoded bytes: base64url has several spellings of the same bytes.
  if (!constantTimeEqual(text.slice(dot + 1), mac(key, payload, bindTo))) return undefined;
  const position: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  return Array.isArray(position) ? position : undefined;
}

function mac(key: Uint8Array, payload: string, bindTo: CursorBinding): string {
  const filters = Object.entries(bindTo.filters ?? {})
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const bound = JSON.stringify(['cursor.v1', bindTo.list, bindTo.tenantId ?? null, filters, payload]);
  return createHmac('sha256', key).update(bound).digest('base64url');
}
