import { randomBytes } from 'node:crypto';
import { repositoryRoot } from '@gatehouse/embedded';
import { type TestDatabase, testDatabase } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, newPerson, type Person, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';
import { effectOf, type Scene } from './runbook-effects.ts';
import { type GuideRow, guideRows } from './runbook-page.ts';
import { type Shell, shellOf } from './terminal.ts';

// docs/runbook-guides.md: every command of the page, read from the page, against a real installation.
const rows = guideRows();
let platform: Platform;
/** What `migrate` works on: undoing the platform's own migrations would end everything else. */
let scratch: TestDatabase;
let cluster: string;
/** Of a signing key that signs nothing yet: its end ends no session. */
let nextKey: string;
/** Of a request that is in the audit. */
let trace: string;
let terminal: Shell;
let adminToken: string;
const gatehouse = gatehouseFor(() => platform);

/** On, or there would be nothing to set back; and out of the way of everything else. */
const limits = {
  RATE_LIMIT_ENABLED: 'true',
  RATE_LIMIT_LOGIN_MAX: '100000',
  RATE_LIMIT_LOGIN_ACCOUNT_MAX: '100000',
  RATE_LIMIT_REGISTER_MAX: '100000',
  RATE_LIMIT_REFRESH_MAX: '100000',
  RATE_LIMIT_ADMIN_MAX: '100000',
  RATE_LIMIT_DEFAULT_MAX: '100000',
};

const key = (id: string) => `${id}:${randomBytes(32).toString('base64url')}`;

beforeAll(async () => {
  const ENCRYPTION_KEYS = `${key('k1')},${key('k2')}`;
  [platform, scratch] = await Promise.all([
    startPlatform({ natsMonitor: true, env: { ...limits, ENCRYPTION_KEYS } }),
    testDatabase(),
  ]);
  terminal = shellOf(platform, gatehouse);
  await signedIn();
  [{ name: cluster }] = await gatehouse.json(['cluster', 'list']);
  const refused = await platform.api.post('/api/auth/login', { email: platform.admin.email, password: 'x' });
  trace = refused.body.trace_id;
  await auditEvent(platform, { type: 'auth.login.failure' }, (event) => event.trace_id === trace);
});
afterAll(async () => {
  await platform?.close();
  await scratch?.drop();
  gatehouse.close();
});

async function signedIn(): Promise<void> {
  await gatehouse.done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
  adminToken = await platform.adminToken();
}

/** As its reader would, but for what would undo the platform's own database. */
const shell: Shell = (line, more = {}) => {
  const onDatabase = /^gatehouse (?:--json )?(?:migrate|backup|restore) /.test(line);
  return terminal(line, {
    ADMIN_TOKEN: adminToken,
    // Behind a pooler these commands go past it, to where they are told.
    ...(onDatabase && { DATABASE_URL: scratch.url, DATABASE_DIRECT_URL: scratch.url }),
    ...more,
  });
};

/** The command with what is real here in the places of its examples. */
function filled(command: string, { remark }: GuideRow, person: Person): string {
  const service = /split up: the port of ([a-z-]+)/.exec(remark)?.[1];
  return command
    .replaceAll('http://localhost:8080', service === undefined ? platform.url : platform.urlOf(service))
    .replaceAll('http://localhost:8222', platform.nats.monitorUrl)
    .replaceAll('ada@example.com', person.email)
    .replaceAll('<user-id>', person.user_id)
    .replaceAll('<cluster>', cluster)
    .replaceAll('<trace-id>', trace)
    .replaceAll('<kid>', nextKey)
    .replace(/\bnode services\//, `node ${repositoryRoot}/services/`);
}

const done = new Set<string>();

async function run(row: GuideRow, text: string, person: Person): Promise<void> {
  const effect = effectOf(text);
  if (effect === undefined) throw new Error(`say in runbook-effects.ts what must come of: ${text}`);
  if (text.includes('<kid>')) {
    const keys = await gatehouse.json(['keys', 'list']);
    nextKey = keys.find(({ state }: { state: string }) => state === 'next').kid;
  }
  const command = filled(text, row, person);
  expect(command, 'a placeholder that the test does not know').not.toMatch(/<[a-z-]+>|…/);
  // The same line of another guide: it has been seen to work.
  if (done.has(command)) return;
  const more = { REFRESH_TOKEN: person.refresh_token };
  const scene: Omit<Scene, 'out'> = { platform, command, person, scratch, shell };
  await effect.before?.(scene);
  const { code, out, err } = await shell(command, more);
  expect(code, `${command}\n${err}${out}`).toBe(0);
  await effect.after({ ...scene, out });
  done.add(command);
}

describe('the runbook, side by side with the guides', () => {
  it('has a table for each of the five guides, every row with a command or the reason why there is none', () => {
    expect([...new Set(rows.map(({ guide }) => guide))]).toEqual(['NIS', 'API', 'ID', 'KAYAN', 'AUTH']);
    for (const { line, theirs, commands, mark, remark } of rows) {
      expect(theirs, `line ${line}`).not.toBe('');
      if (mark !== undefined) expect(remark.length, `line ${line} says why`).toBeGreaterThan(mark.length + 8);
      expect(commands.length > 0, `line ${line} has a command unless it says why not`).toBe(
        mark === undefined || mark === 'not run here',
      );
    }
  });

  it('leaves few commands to be believed', () => {
    const unrun = rows.filter(({ mark }) => mark === 'not run here').flatMap(({ commands }) => commands);
    const run = rows.filter(({ mark }) => mark === undefined).flatMap(({ commands }) => commands);
    expect(run.length).toBeGreaterThan(unrun.length * 4);
  });

  for (const row of rows.filter(({ mark }) => mark === undefined))
    it(`${row.guide}, line ${row.line}: ${row.commands.join(' && ').slice(0, 120)}`, async () => {
      const person = await newPerson(platform.api);
      try {
        for (const command of row.commands) await run(row, command, person);
      } finally {
        if (row.commands.some((one) => one.includes('revoke-all'))) await signedIn();
      }
    });
});
