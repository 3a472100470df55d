import { Fault } from './fault.ts';

/** The owner's URL, for commands that speak to the database directly. @throws Fault (2) */
export function databaseUrl(env: Readonly<Record<string, string | undefined>> = process.env): string {
  // Past a pooler, which lends connections by the transaction: these commands need sessions.
  const url = env.DATABASE_DIRECT_URL?.trim() || env.DATABASE_URL?.trim();
  if (url) return url;
  throw new Fault(
    'DATABASE_URL is missing: set it to the database, e.g. postgres://user:…@host:5432/gatehouse',
    2,
  );
}
