import { page, readPage } from '@gatehouse/kit';
import type { AuditContext } from './context.ts';
import type { EventRow } from './event-item.ts';
import { searchEvents } from './search-events.ts';
import type { Filters } from './search-filters.ts';

/** Which page, of what, shown how. */
interface Wanted<Item> {
  /** Name of the list; its cursors read in no other. */
  readonly list: string;
  readonly query: Parameters<typeof readPage>[1];
  /** The one that may be seen; undefined for all. */
  readonly tenantId: string | undefined;
  readonly filters: Filters;
  readonly item: (row: EventRow) => Item;
}

/** One page of a search in the trail, newest first. @throws Problem `bad_cursor`, `invalid_request` */
export async function searchPage<Item>(
  { db, secrets }: Pick<AuditContext, 'db' | 'secrets'>,
  { list, query, tenantId, filters, item }: Wanted<Item>,
): Promise<{ items: Item[]; next_cursor: string | null }> {
  const binding = { list, tenantId, filters };
  const { limit, after } = readPage(secrets.cursorKey, query, binding);
  const rows = await searchEvents(db, filters, {
    limit: limit + 1,
    after: after && { time: new Date(String(after[0])), id: String(after[1]) },
  });
  return page(secrets.cursorKey, rows, {
    ...{ limit, after, binding, item },
    position: (row) => [row.occurred_at.toISOString(), row.id],
  });
}
