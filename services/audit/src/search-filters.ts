import { isIP } from 'node:net';
import { Problem, pageQuery, Uuid } from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import { readableTime } from './readable-time.ts';

const rfc3339 = '^\\d{4}-\\d\\d-\\d\\d[Tt]\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})?(?:[Zz]|[+-]\\d\\d:\\d\\d)$';
const Moment = (description: string) => Type.Optional(Type.String({ pattern: rfc3339, description }));

const typeForm = '[a-z0-9_]+(?:\\.[a-z0-9_]+)*(?:\\.\\*)?';

/** Types as a question names them: exact ones, and all below a word (`auth.login.*`). */
export const TypeList = Type.Optional(
  Type.String({
    maxLength: 1000,
    pattern: `^${typeForm}(?:,${typeForm})*$`,
    description: 'A type, or all below a word (auth.login.*); several with commas between.',
  }),
);

const Words = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 300, description }));

/** The filters of a search and its page. */
export const SearchQuery = Type.Object(
  {
    from: Moment('Happened not before this time (RFC 3339).'),
    to: Moment('Happened before this time (RFC 3339).'),
    type: TypeList,
    tenant_id: Type.Optional(Uuid),
    user_id: Type.Optional(Uuid),
    actor: Words('Who did it: a user id, as the events show it.'),
    subject: Words('What it is about, as the events show it: user:<id>, session:<id>, tenant:<id>, …'),
    client_ip: Type.Optional(
      Type.String({
        maxLength: 50,
        pattern: '^[0-9a-fA-F:.]+(?:/[0-9]{1,3})?$',
        description: 'An address, or a network: 192.0.2.0/24, 2001:db8::/32.',
      }),
    ),
    outcome: Type.Optional(
      Type.Union([Type.Literal('success'), Type.Literal('failure'), Type.Literal('unknown')]),
    ),
    severity: Type.Optional(
      Type.Union([
        Type.Literal('info'),
        Type.Literal('notice'),
        Type.Literal('warning'),
        Type.Literal('critical'),
      ]),
    ),
    trace_id: Type.Optional(Type.String({ pattern: '^[0-9a-fA-F]{32}$', description: '32 hex digits.' })),
    q: Words(
      'Words that must all be in the event, whole, in any case: in its type, its subject and every text of its data, personal fields too while they are not erased. Not in names of fields, numbers, times, tenant and trace ids: those have filters of their own.',
    ),
    ...pageQuery,
  },
  // A misspelt filter that is ignored would show what was not asked for.
  { additionalProperties: false },
);

/** The filters as they go into the query and, unchanged, into the cursor's signature. */
export interface Filters {
  readonly [name: string]: string | readonly string[] | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly types: readonly string[] | undefined;
  readonly tenantId: string | undefined;
  readonly userId: string | undefined;
  readonly actor: string | undefined;
  readonly subject: string | undefined;
  readonly clientIp: string | undefined;
  readonly outcome: string | undefined;
  readonly severity: string | undefined;
  readonly traceId: string | undefined;
  readonly words: readonly string[] | undefined;
  /** In lower case; no filter of searches, which have words, but of the sign-ins. */
  readonly email?: string | undefined;
}

/** Reads the filters. @throws Problem `invalid_request` with what is wrong */
export function filtersOf(query: Static<typeof SearchQuery>, tenantId: string | undefined): Filters {
  return {
    from: momentOf('from', query.from),
    to: momentOf('to', query.to),
    types: typesOf(query.type),
    tenantId,
    userId: query.user_id?.toLowerCase(),
    actor: query.actor,
    subject: query.subject,
    clientIp: networkOf(query.client_ip),
    outcome: query.outcome,
    severity: query.severity,
    traceId: query.trace_id?.toLowerCase(),
    words: wordsOf(query.q),
  };
}

/** The types of a comma-separated list, each once, in order. */
export function typesOf(text: string | undefined): readonly string[] | undefined {
  return text === undefined ? undefined : [...new Set(text.split(','))].sort();
}

// The pattern admits a 31st of February and a 25th hour.
function momentOf(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const time = readableTime(text);
  if (time === undefined) throw refused(`${name} is not a time of RFC 3339.`);
  return time.toISOString();
}

/** The network in its shortest form; Postgres would refuse `192.0.2.7/24` as a cidr, and people mean its network. */
function networkOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const [address = '', length] = text.split('/');
  const family = isIP(address);
  const bits = family === 4 ? 32 : 128;
  if (family === 0) throw refused('client_ip is neither an address nor a network such as 192.0.2.0/24.');
  if (length !== undefined && Number(length) > bits)
    throw refused(`client_ip: a network of this kind has at most /${bits}.`);
  // IPv4-mapped addresses are recorded as IPv4.
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined && length === undefined) return mapped;
  return length === undefined || Number(length) === bits
    ? address.toLowerCase()
    : `${address.toLowerCase()}/${Number(length)}`;
}

/** What parts words, here and in `audit.words_of()` of the database. */
const partings = /["[\]{}(),.;:@/\\+*=?!<>|&%#$~^`'\s]+/u;
const WORDS_MAX = 8;

function wordsOf(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const words = [...new Set(text.toLowerCase().split(partings))].filter((word) => word !== '');
  if (words.length === 0) throw refused('q has no word in it: letters, digits, - and _ make words.');
  if (words.length > WORDS_MAX) throw refused(`q has more than ${WORDS_MAX} words.`);
  return words.sort();
}

const refused = (detail: string) => new Problem('invalid_request', { detail });
