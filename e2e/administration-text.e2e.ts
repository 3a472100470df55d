import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { operationsOf, pathOf, sampleOf } from './operations.ts';
import { auditEvent, newPerson, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';
import { type TenantObjects, tenantObjects } from './tenant-objects.ts';

// Attack family 7, the ends: what callers sent, as terminals, log files and spreadsheets get to see it.
let platform: Platform;
let objects: TenantObjects;
const { done, home, close } = gatehouseFor(() => platform);

/** What steers a terminal or breaks a line; `\n` ends lines of what the command says. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const steering = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

const hostile = [
  '\u001b[2J\u001b]0;owned\u0007',
  '\u009b31m',
  'line\r\n{"level":"INFO","msg":"forged"}',
  '\u202egnp.exe',
] as const;
const formulas = [
  '=HYPERLINK("http://example.com")',
  '+1+1',
  '-2+3',
  '@SUM(A1)',
  '\t=1+1',
  '\r=1+1',
] as const;

beforeAll(async () => {
  platform = await startPlatform();
  objects = await tenantObjects(platform, 'text');
  await done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
  await sendEverywhere();
});
afterAll(async () => {
  await platform?.close();
  close();
});

/** Every text of every route of administrators, and the header that every request can carry. */
async function sendEverywhere(): Promise<void> {
  const { access_token: token } = objects.admin;
  const operations = (await operationsOf(platform.api)).filter(
    ({ body, method, roles }) => body !== undefined && method !== 'DELETE' && roles.includes('ADMIN'),
  );
  for (const operation of operations) {
    const ids = operation.pathParameters.map((name) => [name, objects.idOf(operation, { name })]);
    const path = pathOf(operation, Object.fromEntries(ids));
    const sample = sampleOf(operation.body ?? {});
    const texts = Object.keys(operation.body?.properties ?? {}).filter((name) =>
      ['name', 'reason', 'description', 'email'].includes(name),
    );
    for (const name of texts)
      for (const text of [...hostile, ...formulas]) {
        const answer = await platform.api.request(
          operation.method,
          path,
          { ...sample, [name]: text },
          { token },
        );
        expect(answer.status, `${operation.method} ${operation.path} ${name}: ${answer.text}`).toBeLessThan(
          500,
        );
      }
  }
  for (const agent of ['=cmd|calc', 'a\u009bb', '@x'])
    await platform.api.post(
      '/api/auth/login',
      { email: objects.person.email, password: 'wrong', tenant_id: objects.tenantId },
      { headers: { 'user-agent': agent } },
    );
  const last = await newPerson(platform.api, { tenant_id: objects.tenantId });
  await auditEvent(platform, { type: 'auth.login.success', user_id: last.user_id });
}

describe('family 7: what ends on a terminal, in a log or in a spreadsheet', () => {
  it('no table or record that the command shows carries what steers a terminal', async () => {
    for (const args of [
      ['admin', 'user', 'list', '--tenant', objects.tenantId],
      ['admin', 'user', 'show', '--id', objects.person.user_id],
      ['admin', 'tenant', 'list'],
      ['admin', 'sessions', 'list', '--tenant', objects.tenantId],
      ['admin', 'user', 'login-events', '--tenant', objects.tenantId],
      ['audit', 'search', '--tenant', objects.tenantId, '--all'],
      ['account', 'list'],
      ['role', 'list'],
      ['user', 'list'],
    ]) {
      const out = await done(args);
      expect(out.length, args.join(' ')).toBeGreaterThan(20);
      const found = steering.exec(out);
      const about = found === null ? '' : out.slice(Math.max(0, found.index - 60), found.index + 60);
      expect(JSON.stringify(about), args.join(' ')).toBe('""');
    }
  });

  it('every line of the log is one record, and none was forged', () => {
    const lines = platform.logs().split('\n').filter(Boolean);
    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines) {
      expect(steering.exec(line), line.slice(0, 200)).toBeNull();
      expect(JSON.parse(line).msg).not.toBe('forged');
    }
  });

  it('no cell of an exported table is a formula, and every record is one row of the same width', async () => {
    const file = join(home, 'trail.csv');
    await done(['audit', 'export', '--tenant', objects.tenantId, '--format', 'csv', '--output', file]);
    const rows = cellsOf(readFileSync(file, 'utf8'));
    expect(rows.length).toBeGreaterThan(20);
    expect(rows.flat().filter((cell) => /^\s*[=+\-@]/.test(cell) && !/^-?\d+$/.test(cell))).toEqual([]);
    expect(new Set(rows.map((row) => row.length)).size).toBe(1);
    // They did arrive, disarmed.
    expect(rows.flat()).toContain("'=cmd|calc");
    expect(rows.flat().some((cell) => cell.includes('HYPERLINK'))).toBe(true);
  });
});

/** RFC 4180. */
function cellsOf(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, cell = '', end = ''] of text.matchAll(/("(?:[^"]|"")*"|[^,"\r\n]*)(,|\r?\n|$)/g)) {
    rows.at(-1)?.push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
    if (end !== ',' && end !== '') rows.push([]);
    if (end === '') break;
  }
  return rows.filter((row) => row.length > 1);
}
