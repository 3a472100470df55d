import { catalogue, definitionOf } from '@gatehouse/events';
import { describe, expect, it } from 'vitest';
import { csvCell, csvHead, csvLine } from './export-csv.ts';
import { ocsfLine } from './export-ocsf.ts';
import type { ExportRow } from './export-parts.ts';

const row = (fields: Partial<ExportRow> = {}): ExportRow => ({
  ...{ chain: 'platform', sequence: 7, id: '0198c5f0-0000-7000-8000-000000000000' },
  ...{ type: 'auth.login.success', severity: 'info', outcome: 'success', source: '/gatehouse/auth' },
  occurred_at: new Date('2024-01-31T12:00:00.123Z'),
  recorded_at: new Date('2024-01-31T12:00:01Z'),
  ...{ tenant_id: null, user_id: null, actor: null, subject: null, trace_id: null },
  ...{ data: '{"a":1}', personal: null, personal_salt: null, personal_digest: null, hash: Buffer.alloc(32) },
  ...fields,
});

describe('a table', () => {
  it('has no cell that a spreadsheet takes for a formula', () => {
    for (const formula of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', ' =1', '\n@x', '＝1'])
      expect(csvCell(formula).replace(/^"/, '')).toMatch(/^'/);
    expect(csvCell("'=1")).toBe("'=1");
    for (const plain of ['a=1', '1-1', '{"a":1}', 'user:x', '2024-01-31'])
      expect(csvCell(plain)).not.toMatch(/^"?'/);
  });

  it('quotes what needs it (RFC 4180) and keeps every record in one line of as many cells', () => {
    expect(csvCell('a "b", c')).toBe('"a ""b"", c"');
    expect(csvCell(null)).toBe('');
    expect(csvCell('a\r\nb\u2028c')).toBe('a b c');
    const line = csvLine(
      row({ subject: 'x\ny,"z"', personal: '{"client_ip":"192.0.2.1","user_agent":"=cmd|\' /C calc\'!A0"}' }),
    );
    expect(line.match(/\n/g)).toHaveLength(1);
    expect(cellsOf(line)).toHaveLength(cellsOf(csvHead).length);
    expect(cellsOf(line)[14]).toBe("'=cmd|' /C calc'!A0");
  });
});

/** A line taken apart as RFC 4180 says. */
function cellsOf(line: string): string[] {
  const cells = line.trimEnd().match(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g) ?? [];
  return cells.slice(0, -1).map((cell) => cell.replace(/,$/, '').replace(/^"|"$/g, '').replaceAll('""', '"'));
}

// Of schema.ocsf.io 1.3.0: what each class requires, and one of what.
const required = {
  every: ['activity_id', 'category_uid', 'class_uid', 'metadata', 'severity_id', 'time', 'type_uid'],
  3001: ['user'],
  3002: ['user'],
  6003: ['actor', 'api', 'src_endpoint'],
} as const;
const activities: Readonly<Record<number, readonly number[]>> = {
  3001: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99],
  3002: [0, 1, 2, 3, 4, 5, 6, 99],
  6003: [0, 1, 2, 3, 4, 99],
};

describe('OCSF', () => {
  it('every event of the catalogue, and one that nobody knows, is an event of a class with all that it requires', () => {
    for (const type of [...catalogue.map((event) => event.type), 'next.release.thing'])
      for (const fields of [
        {},
        { user_id: 'u', actor: 'a', subject: 's', personal: '{"client_ip":"192.0.2.1"}' },
      ]) {
        const { severity = 'info', outcome = null } = definitionOf(type) ?? {};
        const event = JSON.parse(ocsfLine(row({ type, severity, outcome, ...fields })));
        const of = event.class_uid as 3001 | 3002 | 6003;
        for (const name of [...required.every, ...required[of]])
          expect(event[name], `${type} ${name}`).toBeDefined();
        expect(activities[of], type).toContain(event.activity_id);
        expect(event.type_uid).toBe(of * 100 + event.activity_id);
        expect(event.category_uid).toBe(Math.floor(of / 1000));
        expect([1, 2, 3, 4, 5, 99]).toContain(event.severity_id);
        expect(event.time).toBe(Date.parse('2024-01-31T12:00:00.123Z'));
        expect(event.metadata).toMatchObject({ version: '1.3.0', product: { vendor_name: 'Gatehouse' } });
        if (of === 3002) expect(event.service.name).toBeDefined();
        if (of !== 6003) expect(event.user.name ?? event.user.uid).toBeDefined();
        if (of === 6003) expect(event.api.operation).toBe(type);
        expect(event.src_endpoint.ip ?? event.src_endpoint.svc_name).toBeDefined();
        expect(event.unmapped).toMatchObject({ chain: 'platform', sequence: 7, data: { a: 1 } });
      }
  });

  it('sign-ins are logons, locks are locks, and the outcome is the status', () => {
    const of = (fields: Partial<ExportRow>) => JSON.parse(ocsfLine(row(fields)));
    expect(
      of({ type: 'auth.login.failure', outcome: 'failure', data: '{"reason":"wrong_password"}' }),
    ).toMatchObject({
      ...{ type_uid: 300201, status_id: 2, status_detail: 'wrong_password' },
    });
    expect(of({ type: 'auth.lockout', data: '{"action":"locked"}' }).type_uid).toBe(300109);
    expect(of({ type: 'auth.lockout', data: '{"action":"unlocked"}' }).type_uid).toBe(300102);
    expect(of({ type: 'admin.user.status_changed', data: '{"after":"disabled"}' }).type_uid).toBe(300105);
    expect(of({ type: 'admin.tenant.created' }).type_uid).toBe(600301);
  });
});
