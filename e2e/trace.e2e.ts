import { randomBytes } from 'node:crypto';
import { findLeaks, noteSecret, secretsSeen } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  auditEvent,
  expectProblem,
  newPerson,
  type Person,
  type Platform,
  startPlatform,
} from './platform.ts';
import { type SpanReceiver, startSpanReceiver } from './span-receiver.ts';

let receiver: SpanReceiver;
let platform: Platform;
let person: Person;

beforeAll(async () => {
  receiver = await startSpanReceiver();
  platform = await startPlatform({ env: receiver.env });
  person = await newPerson(platform.api);
});
afterAll(async () => {
  await platform?.close();
  receiver?.close();
});

const newTraceId = () => randomBytes(16).toString('hex');
const from = (traceId: string, flags = '01') => ({
  headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-${flags}` },
});
const logIn = (options: { headers: Record<string, string> }, password = person.password) =>
  platform.api.post('/api/auth/login', { email: person.email, password }, options);

describe('tracing', () => {
  it('one trace runs from the gateway through service, SQL and outbox to the audit consumer and its SQL', async () => {
    const traceId = newTraceId();
    const answer = await logIn(from(traceId));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('traceparent')).toContain(traceId);
    await eventually(() => {
      expectWholeRoad(traceId);
      expectAuditWrites(traceId);
    }, 15_000);
  });

  it('requests whose events travel in one batch each have the whole road in their own trace', async () => {
    const tokens: string[] = [];
    for (let count = 0; count < 6; count += 1)
      tokens.push((await logIn(from(newTraceId()))).body.access_token as string);
    const traces = await Promise.all(
      tokens.map(async (token) => {
        const traceId = newTraceId();
        const answer = await platform.api.post('/api/auth/logout', {}, { ...from(traceId), token });
        expect(answer.status).toBe(204);
        return traceId;
      }),
    );
    await eventually(() => traces.forEach(expectWholeRoad), 15_000);
  });

  it('the caller’s trace id is in the problem, in every log line of the request, in the event and in the audit row', async () => {
    const traceId = newTraceId();
    const refused = await logIn(from(traceId), 'WrongPassword-of-the-trace');
    expectProblem(refused, 401, 'invalid_credentials');
    expect(refused.body.trace_id).toBe(traceId);
    // Found by the trace alone.
    const found = await auditEvent(platform, { trace_id: traceId });
    expect(found).toMatchObject({ type: 'auth.login.failure', trace_id: traceId });
    expect(found.data.trace_id ?? found.trace_id).toBe(traceId);
    const lines = await eventually(() => {
      const told = logLines().filter((line) => line.trace_id === traceId);
      expect(told.map(({ msg }) => msg)).toContain('request answered');
      return told;
    });
    // The gateway's and, where it is another process, the service's own.
    const ways = lines.filter(({ route }) => route === '/api/auth/login').map(({ service }) => service);
    expect(ways).toEqual(expect.arrayContaining(platform.mode === 'one' ? ['all-in-one'] : ['auth']));
    const ofRequests = logLines().filter(({ msg }) => msg === 'request answered');
    expect(ofRequests.filter(({ trace_id }) => !/^[0-9a-f]{32}$/.test(String(trace_id)))).toEqual([]);
  });

  it('what a caller does not want to be recorded is in no span, and in the logs and the audit all the same', async () => {
    const unsampled = newTraceId();
    expect((await logIn(from(unsampled, '00'))).status).toBe(200);
    const sampled = newTraceId();
    expect((await logIn(from(sampled))).status).toBe(200);
    // Before the next sign-in, which may fall into the same bucket.
    await eventually(() => expectExemplars(sampled, unsampled));
    await auditEvent(platform, { trace_id: unsampled });
    await eventually(() => expectWholeRoad(sampled), 15_000);
    expect(receiver.spansOf(unsampled)).toEqual([]);
    expect(logLines().some(({ trace_id }) => trace_id === unsampled)).toBe(true);
  });

  it.each([
    ['of zeros', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
    ['in capitals', '00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01'],
    ['of version ff', 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
    ['with SQL in it', "00-4bf92f3577b34da6a3ce929d0e0e473'-00f067aa0ba902b7-01"],
    ['that is very long', `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-${'x'.repeat(4000)}`],
  ])('a traceparent %s is not taken over: a trace of our own begins', async (_what, traceparent) => {
    const answer = await platform.api.get('/api/auth/me', { headers: { traceparent } });
    expectProblem(answer, 401, 'unauthenticated');
    const [, traceId = ''] =
      /^00-([0-9a-f]{32})-[0-9a-f]{16}-0[01]$/.exec(answer.headers.get('traceparent') ?? '') ?? [];
    expect(answer.body.trace_id).toBe(traceId);
    expect(traceparent.toLowerCase()).not.toContain(traceId);
  });

  it('no span tells a secret, an address of a person or what a search was for', async () => {
    const traceId = newTraceId();
    noteSecret(person.email, 'an e-mail address');
    noteSecret('searched-for-this', 'what a search was for');
    await platform.api.get(`/api/auth/me?token=${person.access_token}`, from(traceId));
    await platform.api.get(`/api/audit/events?q=searched-for-this`, {
      ...from(traceId),
      token: await platform.adminToken(),
    });
    await platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token }, from(traceId));
    await logIn(from(traceId));
    await eventually(() => expectWholeRoad(traceId), 15_000);
    const spans = receiver.raw();
    expect(spans.length).toBeGreaterThan(10_000);
    expect(findLeaks('spans', spans, secretsSeen())).toEqual([]);
  });
});

interface LogLine {
  readonly [field: string]: unknown;
}

const logLines = (): LogLine[] =>
  platform
    .logs()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));

function expectWholeRoad(traceId: string): void {
  const names = receiver.spansOf(traceId).map(({ name }) => name);
  for (const step of [/POST/, /^pg(-pool)?[.:]/, /^publish events$/, /^consume audit-record$/])
    expect(names).toEqual(expect.arrayContaining([expect.stringMatching(step)]));
}

/** SQL below the audit's consumer: below its span in this trace, or the one of the whole batch that this is linked to. */
function expectAuditWrites(traceId: string): void {
  const consumed = receiver.spansOf(traceId).filter(({ name }) => name === 'consume audit-record');
  const didTheWork = new Set(
    consumed.flatMap(({ spanId, links = [] }) => [spanId, ...links.map((link) => link.spanId)]),
  );
  const byId = new Map(receiver.all().map((span) => [span.spanId, span]));
  const isBelow = ({ parentSpanId = '' }: { parentSpanId?: string }): boolean => {
    const parent = byId.get(parentSpanId);
    return parent !== undefined && (didTheWork.has(parent.spanId) || isBelow(parent));
  };
  const queries = receiver.all().filter(({ name }) => /^pg\.query/.test(name));
  expect(queries.filter(isBelow).length).toBeGreaterThan(0);
}

/** Prometheus asks for OpenMetrics, and gets with a bucket the trace of a request in it: a recorded one. */
async function expectExemplars(sampled: string, unsampled: string): Promise<void> {
  const url = `${platform.urlOf('auth')}/metrics`;
  const answer = await fetch(url, { headers: { accept: 'application/openmetrics-text; version=1.0.0' } });
  expect(answer.headers.get('content-type')).toContain('application/openmetrics-text');
  const text = await answer.text();
  expect(text).toMatch(
    new RegExp(
      `auth_http_request_duration_seconds_bucket\\{[^}]*route="/api/auth/login"[^}]*\\} \\d+ # \\{trace_id="${sampled}"\\}`,
    ),
  );
  expect(text).not.toContain(unsampled);
  expect((await fetch(url)).headers.get('content-type')).toContain('text/plain; version=0.0.4');
}
