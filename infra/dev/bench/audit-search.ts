import { type Trail, trail, trailRows } from './audit-trail.ts';
import type { Measurement } from './bench.ts';
import { percentile } from './histogram.ts';
import { type Figure, ms } from './report.ts';

/** One kind of question; `value` varies from request to request. */
interface Kind {
  readonly what: string;
  readonly query: (turn: number) => Promise<Record<string, string>> | Record<string, string>;
}

const TURNS = 12;
/** How many pages further a deep page is. */
const PAGES = 8;

/** Searches of every kind on a long trail, the first page and deep ones, one request at a time. */
export const auditSearch: Measurement = async ({ say }) => {
  const long = await trail(say);
  say('audit search');
  const figures: Figure[] = [];
  for (const kind of await kindsOf(long)) figures.push(await measure(long, kind, say));
  return figures;
};

async function measure(long: Trail, { what, query }: Kind, say: (line: string) => void): Promise<Figure> {
  const [first, deep]: [number[], number[]] = [[], []];
  let found = 0;
  for (let turn = 0; turn < TURNS; turn += 1) {
    let cursor: string | null = null;
    for (let page = 0; page <= PAGES; page += 1) {
      const asked = { ...(await query(turn)), ...(cursor !== null && { cursor }) };
      const begun = performance.now();
      const answer = await ask(long, asked);
      (page === 0 ? first : deep).push(performance.now() - begun);
      found += answer.items.length;
      cursor = answer.next_cursor;
      if (cursor === null) break;
    }
  }
  const [a, b] = [first, deep].map((all) => all.toSorted((x, y) => x - y));
  const p95 = Math.max(percentile(a ?? [], 0.95), deep.length === 0 ? 0 : percentile(b ?? [], 0.95));
  const shown = (all: readonly number[] = []) =>
    all.length === 0 ? 'none' : `p50 ${ms(percentile(all, 0.5))}, p95 ${ms(percentile(all, 0.95))}`;
  say(`  ${what}: first ${shown(a)}; deep ${shown(b)}; ${found} found`);
  return {
    what: `audit search of ${trailRows / 1e6} M records by ${what}`,
    value: `first page ${shown(a)}; deep ${shown(b)}`,
    raw: '',
    ratio: undefined,
    bar: 'p95 ≤ 100 ms',
    met: p95 <= 100,
  };
}

interface Page {
  readonly items: readonly unknown[];
  readonly next_cursor: string | null;
}

async function ask({ installation, token }: Trail, query: Record<string, string>): Promise<Page> {
  const answer = await fetch(`${installation.url}/api/audit/events?${new URLSearchParams(query)}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${JSON.stringify(query)} answered ${answer.status}: ${text}`);
  return JSON.parse(text);
}

async function kindsOf({ query }: Trail): Promise<Kind[]> {
  const [ids] = await query<Record<'big' | 'small' | 'nobody', string>>(
    `select md5('tenant0')::uuid::text as big, md5('tenant5')::uuid::text as small, gen_random_uuid()::text as nobody`,
  );
  const { big = '', small = '', nobody = '' } = ids ?? {};
  const sample = await query<Record<'user_id' | 'subject' | 'trace_id' | 'client_ip' | 'at', string>>(
    `select user_id::text, subject, trace_id, host(client_ip) as client_ip, to_char(occurred_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at
     from audit.event tablesample system (0.01) where source = '/bench' limit ${TURNS}`,
  );
  const one = (turn: number) =>
    sample[turn % sample.length] ?? { user_id: '', subject: '', trace_id: '', client_ip: '', at: '' };
  const days = (turn: number) => ({
    from: new Date(Date.parse(one(turn).at) - 3 * 86_400_000).toISOString(),
    to: new Date(Date.parse(one(turn).at)).toISOString(),
  });
  const tenant = (turn: number) => ({ tenant_id: turn % 2 === 0 ? big : small });
  const plain: Record<string, Kind['query']> = {
    'nothing (the newest)': () => ({}),
    time: days,
    tenant,
    user: (turn) => ({ user_id: one(turn).user_id }),
    actor: (turn) => ({ actor: one(turn).user_id }),
    subject: (turn) => ({ subject: one(turn).subject }),
    trace: (turn) => ({ trace_id: one(turn).trace_id }),
    address: (turn) => ({ client_ip: one(turn).client_ip }),
    'network /24': (turn) => ({ client_ip: `${one(turn).client_ip}/24` }),
    'network /16': (turn) => ({ client_ip: `${one(turn).client_ip}/16` }),
    'network /8': () => ({ client_ip: '10.0.0.0/8' }),
    'a frequent type': () => ({ type: 'auth.login.failure' }),
    'a rare type': () => ({ type: 'security.refresh_replay_detected' }),
    'types below a word': () => ({ type: 'auth.*' }),
    'several types': () => ({ type: 'auth.lockout,security.refresh_replay_detected' }),
    'outcome failure': () => ({ outcome: 'failure' }),
    'severity warning': () => ({ severity: 'warning' }),
    'severity critical (none)': () => ({ severity: 'critical' }),
    'a frequent word': () => ({ q: 'firefox' }),
    'a word of every 300th record': () => ({ q: 'wrong_password' }),
    'a rare word': () => ({ q: 'needle' }),
    'a word that is nowhere': () => ({ q: nobody }),
    'two words': () => ({ q: 'unusual firefox' }),
    'a session id as text': (turn) => ({ q: one(turn).subject.slice('session:'.length) }),
  };
  const together: Record<string, Kind['query']> = {
    'tenant and type': (turn) => ({ ...tenant(turn), type: 'auth.login.failure' }),
    'tenant and a rare type': (turn) => ({ ...tenant(turn), type: 'auth.lockout' }),
    'tenant and types below a word': (turn) => ({ ...tenant(turn), type: 'auth.*' }),
    'tenant and outcome': (turn) => ({ ...tenant(turn), outcome: 'failure' }),
    'tenant and severity': (turn) => ({ ...tenant(turn), severity: 'warning' }),
    'tenant and time': (turn) => ({ ...tenant(turn), ...days(turn) }),
    'tenant, type and time': (turn) => ({ ...tenant(turn), ...days(turn), type: 'auth.login.*' }),
    'tenant and network': (turn) => ({ ...tenant(turn), client_ip: `${one(turn).client_ip}/24` }),
    'tenant and a rare word': (turn) => ({ ...tenant(turn), q: 'needle' }),
    'tenant and a frequent word': (turn) => ({ ...tenant(turn), q: 'linux' }),
    'a tenant that has nothing': () => ({ tenant_id: nobody }),
    'user and type': (turn) => ({ user_id: one(turn).user_id, type: 'auth.*' }),
    'address and outcome': (turn) => ({ client_ip: one(turn).client_ip, outcome: 'failure' }),
    'network, type and time': (turn) => ({
      ...days(turn),
      client_ip: `${one(turn).client_ip}/16`,
      type: 'auth.login.*',
    }),
    'word and time': (turn) => ({ ...days(turn), q: 'wrong_password' }),
    'word and type': () => ({ q: 'today', type: 'auth.login.failure' }),
  };
  return Object.entries({ ...plain, ...together }).map(([what, of]) => ({ what, query: of }));
}
