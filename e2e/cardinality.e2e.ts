import { randomBytes, randomUUID } from 'node:crypto';
import { METHODS, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Operation, operationsOf, pathOf, sampleOf } from './operations.ts';
import { newPerson, newTenant, type Platform, signIn, startPlatform } from './platform.ts';

/** Most series of one metric in one process. What may be counted by route, method and status is the largest. */
const SERIES_MAX = 700;
/** Beyond that no label tells anybody anything. */
const VALUE_CHARS_MAX = 64;
/** What the code itself names may come late, on a timer or in a race; what is somebody's comes with every round. */
const ROUNDS_MAX = 8;

let platform: Platform;
let operations: Operation[];
let adminToken: string;
/** Everything that was sent and must not come back as a label. */
const sent: string[] = [];

beforeAll(async () => {
  platform = await startPlatform({ redis: true });
  operations = await operationsOf(platform.api);
  adminToken = await platform.adminToken();
});
afterAll(() => platform?.close());

interface Series {
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** All series of every process: the buckets of a histogram are one. */
async function seriesOfAll(): Promise<Map<string, Series[]>> {
  const pages = await Promise.all(
    platform.instances.map(async (name) => {
      const text = await (await fetch(`${platform.urlOf(name)}/metrics`)).text();
      return [name, seriesIn(text)] as const;
    }),
  );
  return new Map(pages);
}

function seriesIn(text: string): Series[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+/.exec(line))
    .filter((found) => found !== null)
    .map(([, metric = '', inside = '']) => ({
      metric,
      labels: Object.fromEntries(
        [...inside.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', value = '']) => [
          label,
          value,
        ]),
      ),
    }))
    .filter(({ labels }) => labels.le === undefined);
}

/** Something that nobody has sent before, and that is found again wherever it turns up. */
function fresh(): string {
  const made = `zq${randomBytes(9).toString('hex')}`;
  sent.push(made);
  return made;
}

function freshId(): string {
  const made = randomUUID();
  sent.push(made);
  return made;
}

/** Sends as it stands, whatever fetch() would think of it. Whether there is an answer does not matter. */
function sendRaw(
  base: string,
  about: { method?: string; path: string; headers?: Record<string, string>; body?: string },
): Promise<void> {
  const { hostname, port } = new URL(base);
  const { method = 'GET', path, headers = {}, body } = about;
  return new Promise((resolve) => {
    const sending = request({ hostname, port, method, path, headers, agent: false }, (answer) => {
      answer.resume().on('close', resolve);
    });
    for (const end of ['error', 'close', 'connect', 'upgrade']) sending.on(end, () => resolve());
    sending.setTimeout(5_000, () => sending.destroy());
    sending.end(body);
  });
}

/** What a stranger may try on one address. Every round sends the same kinds with other values. */
async function strangeRequests(base: string): Promise<void> {
  const long = `/${fresh()}${'x'.repeat(3_000)}`;
  const paths = [
    `/${fresh()}`,
    `/${fresh()}/${freshId()}/${fresh()}`,
    `/api/${fresh()}`,
    `/api/auth/${fresh()}`,
    `/api/nats/accounts/${fresh()}/${fresh()}`,
    `/api/audit/events/${freshId()}`,
    `/internal/${fresh()}/${fresh()}`,
    `/internal/token/${fresh()}`,
    `/metrics/${fresh()}`,
    `/health/${fresh()}`,
    `/%2e%2e/${fresh()}`,
    `//${fresh()}`,
    `/api/auth/login?${fresh()}=${fresh()}`,
    `/api/auth/login;${fresh()}`,
    long,
  ];
  await Promise.all(
    paths.flatMap((path) => ['GET', 'POST'].map((method) => sendRaw(base, { method, path }))),
  );
  const methods = METHODS.filter((method) => method !== 'CONNECT');
  await Promise.all(
    methods.flatMap((method) =>
      ['/api/auth/login', `/${fresh()}`].map((path) => sendRaw(base, { method, path })),
    ),
  );
  await sendRaw(base, {
    path: '/api/auth/me',
    headers: {
      host: `${fresh()}.example`,
      'user-agent': fresh(),
      'x-forwarded-for': `203.0.113.${sent.length % 250}`,
      'x-forwarded-host': fresh(),
      'x-request-id': fresh(),
      traceparent: `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`,
      authorization: `Bearer ${fresh()}`,
      cookie: `${fresh()}=${fresh()}`,
      origin: `https://${fresh()}.example`,
    },
  });
  for (const type of [fresh(), `${fresh()}/${fresh()}`, 'text/plain', 'application/json'])
    await sendRaw(base, {
      method: 'POST',
      path: '/api/auth/login',
      headers: { 'content-type': type },
      body: fresh(),
    });
}

/** People who sign in, fail, register and refresh, under names that are theirs. */
async function people(): Promise<void> {
  const { api } = platform;
  const person = await newPerson(api, { email: `${fresh()}@${fresh()}.example` });
  sent.push(person.user_id, person.session_id);
  for (const body of [
    { email: person.email, password: fresh() },
    { email: `${fresh()}@example.com`, password: fresh() },
    { email: fresh(), password: fresh() },
    { email: person.email, password: person.password, tenant_id: freshId() },
    { email: person.email, password: person.password, tenant_id: fresh() },
    { email: person.email, password: person.password, strategy: fresh() },
  ])
    await api.post('/api/auth/login', body);
  for (const body of [
    { email: person.email, password: 'correct horse battery' },
    { email: `${fresh()}@example.com`, password: 'short' },
    { email: `${fresh()}@example.com`, password: 'correct horse battery', tenant_id: freshId() },
    { email: `${fresh()}@example.com`, password: 'correct horse battery', name: fresh() },
  ])
    await api.post('/api/auth/register', body);
  await api.post('/api/auth/refresh', { refresh_token: person.refresh_token });
  await api.post('/api/auth/refresh', { refresh_token: fresh() });
  await signIn(api, { email: person.email, password: person.password });
}

/** Every operation that there is, with ids and texts that nobody knows, as an administrator. */
async function everyOperation(): Promise<void> {
  const tried = operations.filter(({ path }) => !/revoke-all|logout|login|register|refresh/.test(path));
  await Promise.all(
    tried.map((operation) => {
      const { method, pathParameters, body } = operation;
      const ids = pathParameters.map((name, index) => [name, index % 2 ? fresh() : freshId()]);
      const path = `${pathOf(operation, Object.fromEntries(ids))}?${fresh()}=${fresh()}`;
      return platform.api.request(method, path, body && sampleOf(body), { token: adminToken });
    }),
  );
}

async function round(): Promise<void> {
  const addresses = new Set([platform.url, ...platform.instances.map((name) => platform.urlOf(name))]);
  for (const address of addresses) await strangeRequests(address);
  for (let tenants = 0; tenants < 3; tenants += 1) sent.push(await newTenant(platform, fresh()));
  await people();
  await everyOperation();
}

const valuesOf = (pages: Map<string, Series[]>): Set<string> =>
  new Set(
    [...pages.values()].flat().flatMap(({ metric, labels }) =>
      Object.entries(labels)
        .filter(([label]) => !isTenantShare(metric, label))
        .map(([label, value]) => `${metric}{${label}="${value}"}`),
    ),
  );

/** An instance of a service, as the installation's own settings name it. */
const isInstance = (metric: string, label: string) =>
  metric === 'upstream_instance_ready' && label === 'target';

/** The largest tenants, of which there are at most twenty, stand by their ids (contract §8). */
const isTenantShare = (metric: string, label: string) => metric === 'session_active' && label === 'tenant';

describe('whatever is sent', () => {
  let after: Map<string, Series[]>;
  /** The label values that the last round added. */
  let grown: string[];
  beforeAll(async () => {
    await round();
    let before = await seriesOfAll();
    for (let rounds = 1; rounds < ROUNDS_MAX; rounds += 1) {
      await round();
      after = await seriesOfAll();
      grown = valuesOf(after).difference(valuesOf(before)).values().toArray();
      if (grown.length === 0) return;
      before = after;
    }
  }, 240_000);

  it('reaches the metrics at all', () => {
    const all = [...after.values()].flat();
    expect(all.some(({ labels }) => labels.route === 'unmatched')).toBe(true);
    expect(all.some(({ metric }) => metric === 'auth_login_total')).toBe(true);
    expect(sent.length).toBeGreaterThan(300);
  });

  it('no metric has more series than a Prometheus of one installation carries without noticing', () => {
    const many = [...after].flatMap(([process, series]) => {
      const counts = new Map<string, number>();
      for (const { metric } of series) counts.set(metric, (counts.get(metric) ?? 0) + 1);
      return [...counts]
        .filter(([, count]) => count > SERIES_MAX)
        .map(([metric, count]) => `${process} ${metric}: ${count}`);
    });
    expect(many).toEqual([]);
  });

  it('there comes a round whose values add none to the labels', () => {
    expect(grown).toEqual([]);
  });

  it('no label holds anything that was sent, nor an address, an e-mail or an id', () => {
    const told = [...after.values()].flat().flatMap(({ metric, labels }) =>
      Object.entries(labels)
        .filter(([label]) => !isTenantShare(metric, label) && !isInstance(metric, label))
        .filter(([, value]) => isTelling(value) || sent.some((one) => value.includes(one)))
        .map(([label, value]) => `${metric}{${label}="${value}"}`),
    );
    expect([...new Set(told)]).toEqual([]);
  });

  it('tenants are the twenty largest, and the rest together', () => {
    const tenants = [...after.values()].flat().filter(({ metric }) => metric === 'session_active');
    for (const name of platform.instances)
      expect(
        (after.get(name) ?? []).filter(({ metric }) => metric === 'session_active').length,
      ).toBeLessThanOrEqual(21);
    expect(tenants.every(({ labels }) => /^(?:[0-9a-f-]{36}|other)$/.test(labels.tenant ?? ''))).toBe(true);
  });
});

const telling = [
  /@/,
  // Addresses of machines, an id, anything long and random.
  /\b\d{1,3}(?:\.\d{1,3}){3}\b/,
  /[0-9a-f]{0,4}::[0-9a-f]|(?:[0-9a-f]{1,4}:){3}/i,
  /[0-9a-f]{8}-[0-9a-f]{4}-/i,
  /[0-9a-f]{16}/i,
  /:\/\//,
];

function isTelling(value: string): boolean {
  return value.length > VALUE_CHARS_MAX || telling.some((form) => form.test(value));
}
