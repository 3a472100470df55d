import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { EmbeddedError, reasonOf } from '@gatehouse/embedded';
import pg from 'pg';
import { writePrivately } from './home-secrets.ts';
import { readJson } from './installation-home.mjs';

export interface FirstAdministrator {
  email: string;
  password: string;
}

const PASSWORD_BYTES = 15;
const CONNECT_TIMEOUT_MS = 5_000;
const fileIn = (home: string) => join(home, 'first-admin.json');

/**
 * The credentials of the administrator to be made, or undefined when there is one. They stay in a file that only the
 * owner can read until they were printed: a kill between making the account and printing must not lose them.
 */
export async function firstAdministrator(
  home: string,
  databaseUrl: string,
): Promise<FirstAdministrator | undefined> {
  const waiting = readJson(fileIn(home)) as FirstAdministrator | undefined;
  if (waiting) return waiting;
  if (await hasAdministrator(databaseUrl)) return undefined;
  const made = {
    email: process.env.GATEHOUSE_ADMIN_EMAIL?.trim() || 'admin@gatehouse.example',
    password: process.env.GATEHOUSE_ADMIN_PASSWORD || randomBytes(PASSWORD_BYTES).toString('base64url'),
  };
  writePrivately(fileIn(home), made);
  return made;
}

/** Called once they were shown. */
export function forgetFirstAdministrator(home: string): void {
  rmSync(fileIn(home), { force: true });
}

async function hasAdministrator(databaseUrl: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  try {
    await client.connect();
    const found = await client.query("select 1 from auth.user_account where role = 'PLATFORM_ADMIN' limit 1");
    return found.rowCount !== 0;
  } catch (error) {
    throw new EmbeddedError(`cannot look for an administrator in the database: ${reasonOf(error)}`);
  } finally {
    await client.end().catch(() => {});
  }
}
