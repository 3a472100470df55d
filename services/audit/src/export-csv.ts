import type { ExportRow } from './export-parts.ts';

const columns = [
  ...['chain', 'sequence', 'id', 'occurred_at', 'recorded_at', 'type', 'severity', 'outcome', 'source'],
  ...[
    'tenant_id',
    'user_id',
    'actor',
    'subject',
    'client_ip',
    'user_agent',
    'trace_id',
    'data',
    'personal',
    'hash',
  ],
] as const;

const END = '\r\n';

/** The first line: the names of the columns, which stay the same from release to release. */
export const csvHead = columns.join(',') + END;

/** A record as one line (RFC 4180): no cell has a line break, so that a line is a record. */
export function csvLine(row: ExportRow): string {
  const personal = row.personal === null ? {} : (JSON.parse(row.personal) as Record<string, unknown>);
  const cells: Record<(typeof columns)[number], unknown> = {
    ...row,
    occurred_at: row.occurred_at.toISOString(),
    recorded_at: row.recorded_at.toISOString(),
    client_ip: personal.client_ip,
    user_agent: personal.user_agent,
    hash: row.hash.toString('hex'),
  };
  return columns.map((name) => csvCell(cells[name])).join(',') + END;
}

/**
 * A cell. What a spreadsheet would take for a formula (OWASP, CSV injection: what begins with = + - @, a tab or a line
 * break) gets an apostrophe before it; line breaks become spaces.
 */
export function csvCell(value: unknown): string {
  if (value === null || value === undefined) return '';
  const said = String(value);
  // Full-width signs count as the plain ones in some programs.
  const safe = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(said) ? `'${said}` : said;
  const flat = safe.replace(/\r\n|[\r\n\u2028\u2029]/g, ' ');
  return /[",]|^\s|\s$/.test(flat) ? `"${flat.replaceAll('"', '""')}"` : flat;
}
