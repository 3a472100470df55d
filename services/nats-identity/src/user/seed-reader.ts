import type { NatsIdentityContext } from '../context.ts';
import { openSecret, openSeed, type SealedRow } from '../secret.ts';

/** Sealed texts that were found to hold the seed of their row's key; about 400 bytes each. */
const KNOWN_MAX = 8_192;

/** Reads seeds of users, whose text goes into creds. */
export interface SeedReader {
  /** Hands the seed's text to `work` and overwrites the bytes that it came from. @throws as openSeed */
  use<T>(row: SealedRow, work: (seed: string) => T): T;
}

/**
 * Whether a seed is its row's key is checked by deriving the key, which takes longer than everything else about an
 * issue. A sealed text that was checked once need not be again: the same text opens to the same seed. No seed is kept.
 */
export function createSeedReader(ctx: Pick<NatsIdentityContext, 'secrets' | 'metrics'>): SeedReader {
  const known = new Map<string, string>();

  function read(row: SealedRow): Buffer {
    if (known.get(row.id) === row.sealed) return openSecret(ctx, row);
    const seed = openSeed(ctx, row).seed();
    const [oldest] = known.keys();
    if (known.size >= KNOWN_MAX && oldest !== undefined) known.delete(oldest);
    known.set(row.id, row.sealed);
    return seed;
  }

  return {
    use(row, work) {
      const seed = read(row);
      try {
        return work(seed.toString('latin1'));
      } finally {
        seed.fill(0);
      }
    },
  };
}
