import Type, { type TSchema } from 'typebox';
import { type CursorPosition, readCursor, signCursor } from './cursor.ts';
import { Problem } from './problem.ts';

/** The two query parameters that every list takes; texts, because a query string has no numbers. */
export const pageQuery = {
  limit: Type.Optional(
    Type.String({ pattern: '^[0-9]{1,9}$', description: 'Items a page: default 50, at most 200.' }),
  ),
  cursor: Type.Optional(Type.String({ maxLength: 2048, description: 'next_cursor of the previous page.' })),
};

/** The answer of a list. */
export function pageOf<T extends TSchema>(item: T) {
  return Type.Object({
    items: Type.Array(item),
    next_cursor: Type.Union([Type.String(), Type.Null()]),
  });
}

const limitDefault = 50;
const limitMax = 200;

/** Which page is asked for. `binding` ties a cursor to its list, tenant and filters. */
export interface PageRequest {
  readonly limit: number;
  /** Where the previous page ended; undefined on the first. */
  readonly after: CursorPosition | undefined;
}

/** What ties a cursor to one list, one tenant and one set of filters. */
export type ListBinding = Parameters<typeof readCursor>[2];

/** Reads limit and cursor. @throws Problem `bad_cursor`, `invalid_request`. */
export function readPage(
  key: Buffer,
  query: { limit?: string; cursor?: string },
  binding: ListBinding,
): PageRequest {
  const limit = query.limit === undefined ? limitDefault : Number(query.limit);
  if (limit < 1 || limit > limitMax)
    throw new Problem('invalid_request', { detail: `limit must be from 1 to ${limitMax}.` });
  if (query.cursor === undefined) return { limit, after: undefined };
  const after = readCursor(key, query.cursor, binding);
  if (after === undefined) throw new Problem('bad_cursor');
  return { limit, after };
}

/** The page of a query that read one row more than `limit`: its items, and a cursor when there are more. */
export function page<Row, Item>(
  key: Buffer,
  rows: readonly Row[],
  request: PageRequest & {
    binding: ListBinding;
    position: (row: Row) => CursorPosition;
    item: (row: Row) => Item;
  },
): { items: Item[]; next_cursor: string | null } {
  const shown = rows.slice(0, request.limit);
  const last = shown.at(-1);
  const more = rows.length > request.limit && last !== undefined;
  return {
    items: shown.map(request.item),
    next_cursor: more ? signCursor(key, request.position(last), request.binding) : null,
  };
}

/** A UUID of any version, as callers may send it. */
export const Uuid = Type.String({
  pattern: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$',
  description: 'UUID',
});

/** A time as answers carry it. */
export const Time = Type.String({ description: 'RFC 3339, UTC', format: 'date-time' });
