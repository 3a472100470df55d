import pg from 'pg';
import { keepDoing } from './fault.ts';

/**
 * A report of somebody's that takes a table for itself for some seconds, lets go, and begins anew, until its connection
 * is ended.
 */
export async function greedyReport(url: string, table: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: url, application_name: 'monthly-report' });
  client.on('error', () => {});
  await client.connect();
  let ended = false;
  const stop = keepDoing(async () => {
    if (ended) return;
    try {
      await client.query(`begin; lock table ${table} in access exclusive mode; select pg_sleep(2)`);
      await client.query('commit');
    } catch {
      ended = true;
    }
  });
  return async () => {
    await client.end().catch(() => {});
    await stop();
  };
}

/** What `gatehouse database sessions` says of it: its process, and that somebody waits for it. */
export const heldUp = /^(\d+) +monthly-report +active .* [1-9]\d* +begin; lock table/m;

/** Puts its process into a command of the page. */
export const withItsProcess = (command: string, said: string): string =>
  command.replaceAll('<pid>', heldUp.exec(said)?.[1] ?? '<pid>');
