import type { Nkey } from '@gatehouse/nats-claims';
import type { NatsIdentityContext } from '../context.ts';
import { openSeed, type SealedRow } from '../secret.ts';

const ENTRIES_MAX = 256;
const KEPT_MS = 30_000;

/** Opens keys that sign users. */
export interface SignerCache {
  /** The key; good for this turn of the event loop, afterwards it may be wiped. @throws as openSeed */
  open(row: SealedRow): Nkey;
}

interface Entry {
  readonly sealed: string;
  readonly key: Nkey;
  readonly until: number;
}

/**
 * Opened signing keys for half a minute, at most so many, then overwritten: to open one takes longer than to sign with
 * it. An entry is good for exactly the sealed text that it came from, which the caller has just read from the database:
 * a key that was removed, moved or sealed anew is never signed with from here.
 */
export function createSignerCache(ctx: Pick<NatsIdentityContext, 'secrets' | 'metrics'>): SignerCache {
  /** The oldest first. */
  const entries = new Map<string, Entry>();
  let sweepDue = false;

  function drop(id: string, { key }: Entry): void {
    entries.delete(id);
    key.wipe();
  }

  function sweepLater(): void {
    if (sweepDue) return;
    sweepDue = true;
    setTimeout(sweep, KEPT_MS).unref();
  }

  function sweep(): void {
    sweepDue = false;
    const now = performance.now();
    for (const [id, entry] of entries) if (entry.until <= now) drop(id, entry);
    if (entries.size > 0) sweepLater();
  }

  return {
    open(row) {
      const held = entries.get(row.id);
      if (held !== undefined && held.sealed === row.sealed && held.until > performance.now()) return held.key;
      const key = openSeed(ctx, row);
      if (held !== undefined) drop(row.id, held);
      const [oldest] = entries;
      if (entries.size >= ENTRIES_MAX && oldest !== undefined) drop(...oldest);
      entries.set(row.id, { sealed: row.sealed, key, until: performance.now() + KEPT_MS });
      sweepLater();
      return key;
    },
  };
}
