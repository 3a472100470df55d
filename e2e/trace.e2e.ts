import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, newPerson, type Platform, startPlatform } from './platform.ts';

interface Span {
  readonly traceId: string;
  readonly name: string;
  readonly service: string;
}

// A receiver of OTLP over HTTP: what an operator's collector would see.
let receiver: Server;
let platform: Platform;
const spans: Span[] = [];

interface Export {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeSpans: { spans: { traceId: string; name: string }[] }[];
  }[];
}

function keep(body: Export): void {
  for (const { resource, scopeSpans } of body.resourceSpans) {
    const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
    for (const { traceId, name } of scopeSpans.flatMap((scope) => scope.spans))
      spans.push({ traceId, name, service });
  }
}

beforeAll(async () => {
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      if (request.url === '/v1/traces') keep(JSON.parse(body));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  platform = await startPlatform({
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '200',
    },
  });
});
afterAll(async () => {
  await platform?.close();
  receiver?.close();
});

describe('tracing', () => {
  it('one trace runs from the gateway through service, SQL and outbox to the audit consumer', async () => {
    const person = await newPerson(platform.api);
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    const credentials = { email: person.email, password: person.password };
    const answer = await platform.api.post('/api/auth/login', credentials, { headers });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('traceparent')).toContain(traceId);
    const event = await auditEvent(
      platform,
      { type: 'auth.login.success', user_id: person.user_id },
      (one) => one.trace_id === traceId,
    );
    expect(event.trace_id).toBe(traceId);
    await eventually(() => expectWholeRoad(traceId), 15_000);
  });

  it('requests whose events travel in one batch each have the whole road in their own trace', async () => {
    const { email, password } = await newPerson(platform.api);
    const tokens: string[] = [];
    for (let count = 0; count < 6; count += 1) {
      const { body } = await platform.api.post('/api/auth/login', { email, password });
      tokens.push(body.access_token as string);
    }
    const traces = await Promise.all(
      tokens.map(async (token, index) => {
        const traceId = `${index}cf92f3577b34da6a3ce929d0e0e4736`;
        const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
        expect((await platform.api.post('/api/auth/logout', {}, { headers, token })).status).toBe(204);
        return traceId;
      }),
    );
    await eventually(() => traces.forEach(expectWholeRoad), 15_000);
  });
});

function expectWholeRoad(traceId: string): void {
  const names = spans.filter((span) => span.traceId === traceId).map(({ name }) => name);
  for (const step of [/POST/, /^pg(-pool)?[.:]/, /publish/, /consume/])
    expect(names).toEqual(expect.arrayContaining([expect.stringMatching(step)]));
}
