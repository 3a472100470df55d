import { startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gateway } from './service.ts';

/** Where nobody listens: these tests are about what the gateway answers by itself. */
const nowhere = 'http://127.0.0.1:9';
const elsewhere = { AUTH_URL: nowhere, TOKEN_URL: nowhere, AUDIT_URL: nowhere, NATS_IDENTITY_URL: nowhere };
const listed = 'https://app.example.com';

describe('the edge', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await startPlatform([gateway], {
      ...elsewhere,
      CORS_ORIGINS: `${listed},http://localhost:5173`,
    });
  });
  afterAll(() => platform?.close());

  describe('methods and paths', () => {
    it('an unknown path is 404 with a problem document that carries the trace', async () => {
      const traceId = 'c28bfceb4fef887a6d0e41593ca106b5';
      const answer = await platform.api.get('/nowhere', {
        headers: { traceparent: `00-${traceId}-4ab5494aed4beb64-01` },
      });
      expect(answer.status).toBe(404);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(answer.body).toMatchObject({ code: 'not_found', status: 404, trace_id: traceId });
      expect(answer.headers.get('traceparent')).toContain(traceId);
    });

    it('a wrong method is 405 with the methods there are', async () => {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
        const answer = await platform.api.request(method, '/health/live');
        expect(answer.status, method).toBe(405);
        expect(answer.body.code).toBe('method_not_allowed');
        expect(answer.headers.get('allow')).toBe('GET, HEAD, OPTIONS');
      }
    });

    it('OPTIONS tells the methods, HEAD is GET without its body', async () => {
      const options = await platform.api.request('OPTIONS', '/health/live');
      expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS']);
      expect((await platform.api.request('OPTIONS', '/nowhere')).status).toBe(404);
      const head = await platform.api.request('HEAD', '/openapi.json');
      expect([head.status, head.text]).toEqual([200, '']);
      expect(Number(head.headers.get('content-length'))).toBeGreaterThan(1000);
    });

    it('a path that two readers could read in two ways is nobody’s', async () => {
      for (const path of [
        '//health',
        '/health//live',
        '/health%2flive',
        '/health/%2e%2e/metrics',
        '/health\\live',
      ])
        expect((await raw(platform.url, path)).status, path).toBe(404);
      expect((await raw(platform.url, '/%zz')).status).toBe(400);
    });
  });

  describe('browsers', () => {
    it('a listed origin may read the answer with its credentials', async () => {
      const { headers } = await platform.api.get('/health/live', { headers: { origin: listed } });
      expect(headers.get('access-control-allow-origin')).toBe(listed);
      expect(headers.get('access-control-allow-credentials')).toBe('true');
      expect(headers.get('vary')).toContain('Origin');
    });

    it('an origin that is not listed gets no header of CORS at all, whatever it looks like', async () => {
      const strangers = [
        'https://evil.example.com',
        'https://app.example.com.evil.test',
        'https://app.example.com:8443',
        'http://app.example.com',
        'HTTPS://APP.EXAMPLE.COM',
        'null',
        '*',
      ];
      for (const origin of strangers)
        for (const method of ['GET', 'OPTIONS']) {
          const preflight = { 'access-control-request-method': 'POST' };
          const answer = await platform.api.request(method, '/health/live', undefined, {
            headers: { origin, ...preflight },
          });
          const told = [...answer.headers.keys()].filter((name) => name.startsWith('access-control'));
          expect(told, `${method} ${origin}`).toEqual([]);
          expect(answer.headers.get('vary')).toContain('Origin');
        }
    });

    it('a preflight of a listed origin is answered with what it may send', async () => {
      const answer = await platform.api.request('OPTIONS', '/api/auth/login', undefined, {
        headers: { origin: listed, 'access-control-request-method': 'POST' },
      });
      expect(answer.status).toBe(204);
      expect(answer.headers.get('access-control-allow-methods')).toContain('POST');
      expect(answer.headers.get('access-control-allow-headers')).toContain('authorization');
      expect(answer.headers.get('access-control-max-age')).toBe('600');
    });

    it('refusals are as readable to a page as successes', async () => {
      const answer = await platform.api.get('/nowhere', { headers: { origin: listed } });
      expect(answer.headers.get('access-control-allow-origin')).toBe(listed);
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
      expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
    });
  });

  describe('health', () => {
    it('lives and is ready under every name that the guides use', async () => {
      for (const path of ['/health/live', '/health/ready', '/healthz', '/readyz', '/ready'])
        expect((await platform.api.get(path)).status, path).toBe(200);
      expect((await platform.api.get('/healthz')).text).toBe('ok');
    });

    it('reports every component, and says unhealthy with 503 while auth and token are away', async () => {
      const { status, body } = await platform.api.get('/health');
      expect(status).toBe(503);
      expect(body).toMatchObject({ status: 'unhealthy', version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
      expect(body.uptime_seconds).toBeGreaterThanOrEqual(0);
      const states = Object.fromEntries(
        body.components.map((one: { name: string; status: string }) => [one.name, one.status]),
      );
      expect(states).toEqual({
        database: 'healthy',
        nats: 'healthy',
        cache: 'healthy',
        signing_keys: 'unhealthy',
        email: 'healthy',
        gateway: 'healthy',
        auth: 'unhealthy',
        token: 'unhealthy',
        'nats-identity': 'unhealthy',
        audit: 'unhealthy',
      });
      for (const one of body.components) expect(one.latency_ms).toBeGreaterThanOrEqual(0);
    });

    it('tells no address, name or password of what it stands on', async () => {
      const { text } = await platform.api.get('/health');
      const { port, password } = new URL(platform.env.DATABASE_URL ?? '');
      for (const secret of [port, password, '127.0.0.1', 'postgres:'].filter((one) => one !== ''))
        expect(text).not.toContain(secret);
    });
  });
});

/** Sends a path as it is: fetch would tidy it up. */
async function raw(url: string, path: string): Promise<{ status: number }> {
  const { request } = await import('node:http');
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, path, method: 'GET' }, (answer) => {
      answer.resume().on('end', () => resolve({ status: answer.statusCode ?? 0 }));
    });
    sent.on('error', reject).end();
  });
}
