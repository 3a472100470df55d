import { Problem, Uuid } from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import { endOfTimeMs, readableTime } from './readable-time.ts';
import { TypeList, typesOf } from './search-filters.ts';

const moment =
  '^\\d{4}-\\d\\d-\\d\\d(?:[Tt]\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})?(?:[Zz]|[+-]\\d\\d:\\d\\d))?$';

/** The forms of an export. */
export const exportFormats = ['json', 'ndjson', 'csv', 'ocsf'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** What to export, and as what. */
export const ExportQuery = Type.Object(
  {
    start: Type.Optional(
      Type.String({
        pattern: moment,
        description: 'Happened not before: a date (its beginning, UTC) or a time of RFC 3339.',
      }),
    ),
    end: Type.Optional(
      Type.String({
        pattern: moment,
        description: 'Happened up to: a date (that whole day, UTC), or before a time of RFC 3339.',
      }),
    ),
    types: TypeList,
    tenant_id: Type.Optional(Uuid),
    format: Type.Optional(
      Type.Union([Type.Literal('json'), Type.Literal('ndjson'), Type.Literal('csv'), Type.Literal('ocsf')], {
        description: 'ndjson unless given.',
      }),
    ),
    proof: Type.Optional(
      Type.Union([Type.Literal('full'), Type.Literal('none')], {
        description:
          'Of json and ndjson: with all that verifying needs (full, unless given), or the records alone.',
      }),
    ),
    log_size: Type.Optional(
      Type.String({
        pattern: '^[0-9]{1,15}$',
        description:
          'Of a checkpoint kept outside: the log of heads is handed out so that it can be compared at this size.',
      }),
    ),
    reason: Type.Optional(
      Type.String({
        maxLength: 500,
        pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]*$',
        description: 'Why; kept in the audit.',
      }),
    ),
    cursor: Type.Optional(
      Type.String({
        maxLength: 2048,
        description: 'gatehouse-export-cursor of an answer that broke off, to go on with it.',
      }),
    ),
    after: Type.Optional(
      Type.String({
        pattern: '^\\S{1,100}:[0-9]{1,15}$',
        description: '<chain>:<sequence> of the last line that arrived whole; with cursor.',
      }),
    ),
  },
  { additionalProperties: false },
);

/** What is exported; what it says is part of the cursor's signature. */
export interface ExportFilters {
  readonly [name: string]: string | readonly string[] | undefined;
  /** Inclusive. */
  readonly start: string | undefined;
  /** Exclusive. */
  readonly end: string | undefined;
  readonly types: readonly string[] | undefined;
  readonly tenantId: string | undefined;
  readonly format: ExportFormat;
  readonly proof: 'full' | 'none';
  /** At which size, besides its whole, the root of the log of heads must follow. */
  readonly logSize: string | undefined;
}

/** Reads the question. @throws Problem `invalid_request` with what is wrong */
export function exportFiltersOf(
  query: Static<typeof ExportQuery>,
  tenantId: string | undefined,
): ExportFilters {
  const start = momentOf('start', query.start, 0);
  const end = momentOf('end', query.end, 1);
  if (start !== undefined && end !== undefined && start >= end)
    throw new Problem('invalid_request', { detail: 'end must be after start.' });
  const format = query.format ?? 'ndjson';
  const provable = format === 'json' || format === 'ndjson';
  return {
    ...{ start, end, tenantId, format },
    types: typesOf(query.types),
    logSize: query.log_size,
    proof: provable ? (query.proof ?? 'full') : 'none',
  };
}

const DAY_MS = 86_400_000;

// The pattern admits a 31st of February, which Date would make a day of March.
function momentOf(name: string, text: string | undefined, days: number): string | undefined {
  if (text === undefined) return undefined;
  const time = readableTime(text);
  const isDate = text.length === 10;
  if (time === undefined || (isDate && time.toISOString().slice(0, 10) !== text))
    throw new Problem('invalid_request', {
      detail: `${name} is neither a date such as 2024-01-31 nor a time of RFC 3339.`,
    });
  return new Date(Math.min(time.getTime() + (isDate ? days * DAY_MS : 0), endOfTimeMs)).toISOString();
}

/** The filters as the audit keeps them. */
export function filtersShown(filters: ExportFilters): Record<string, string> {
  const { start, end, types, tenantId, proof } = filters;
  const all = { start, end, types: types?.join(','), tenant_id: tenantId, proof };
  return Object.fromEntries(
    Object.entries(all).filter((one): one is [string, string] => one[1] !== undefined),
  );
}
