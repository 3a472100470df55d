import { randomUUID } from 'node:crypto';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, expectProblem, newTenant, type Platform, startPlatform } from './platform.ts';

// Guide 004's bodies, word for word, with real ids where it says "uuid".
let platform: Platform;
let tenant: string;
const user = randomUUID();
const register = () => `{
  "tenant_id": "${tenant}",
  "user_id": "${user}",
  "email": "user@example.com",
  "password": "StrongPassword123"
}`;
const login = () => `{
  "tenant_id": "${tenant}",
  "email": "user@example.com",
  "password": "StrongPassword123"
}`;
const refresh = (token: string) => `{
  "refresh_token": "${token}"
}`;

beforeAll(async () => {
  platform = await startPlatform();
  tenant = await newTenant(platform);
});
afterAll(() => platform?.close());

describe('guide 004 works as written', () => {
  it('GET /health/live is 200', async () => {
    expect((await platform.api.get('/health/live')).status).toBe(200);
  });

  it('GET /health/ready is 200 with Postgres and NATS there', async () => {
    expect((await platform.api.get('/health/ready')).status).toBe(200);
  });

  it('POST /api/auth/register is 201 Created', async () => {
    const answer = await platform.api.post('/api/auth/register', register());
    expect(answer.status, answer.text).toBe(201);
    expect(answer.body).toMatchObject({ user_id: user, tenant_id: tenant, email: 'user@example.com' });
  });

  it('POST /api/auth/register with a weak password is 400', async () => {
    const answer = await platform.api.post('/api/auth/register', {
      email: 'weak@example.com',
      password: 'password',
    });
    expectProblem(answer, 400, 'weak_password');
    expect(answer.body.reasons.length).toBeGreaterThan(0);
  });

  it('POST /api/auth/login, then refresh: new access and refresh tokens that the JWKS verifies', async () => {
    const signedIn = await platform.api.post('/api/auth/login', login());
    expect(signedIn.status, signedIn.text).toBe(200);
    const refreshed = await platform.api.post('/api/auth/refresh', refresh(signedIn.body.refresh_token));
    expect(refreshed.status, refreshed.text).toBe(200);
    expect(refreshed.body.refresh_token).not.toBe(signedIn.body.refresh_token);
    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', platform.url));
    for (const { access_token } of [signedIn.body, refreshed.body]) {
      const { payload, protectedHeader } = await jwtVerify(access_token, keys, {
        audience: 'gatehouse',
        typ: 'at+jwt',
      });
      expect(protectedHeader.alg).toBe('RS256');
      expect(payload).toMatchObject({
        sub: user,
        tenant_id: tenant,
        sid: signedIn.body.session_id,
        roles: ['USER'],
      });
    }
  });

  it('wrong credentials are 401, and locked is 423 after too many', async () => {
    const wrong = { tenant_id: tenant, email: 'victim@example.com', password: 'WrongPassword123' };
    for (let attempt = 0; attempt < 5; attempt += 1)
      expectProblem(await platform.api.post('/api/auth/login', wrong), 401, 'invalid_credentials');
    const locked = await platform.api.post('/api/auth/login', wrong);
    expectProblem(locked, 423, 'locked');
    expect(Number(locked.headers.get('retry-after'))).toBeGreaterThan(0);
    await auditEvent(platform, { type: 'auth.lockout' }, ({ data }) => data.email === 'victim@example.com');
  });

  it('a refresh token used twice ends the session, and the audit shows the replay with the fields of §7', async () => {
    const first = (await platform.api.post('/api/auth/login', login())).body;
    const agent = { headers: { 'user-agent': 'Mozilla/5.0 (thief)' } };
    const second = (await platform.api.post('/api/auth/refresh', refresh(first.refresh_token))).body;
    expectProblem(
      await platform.api.post('/api/auth/refresh', refresh(first.refresh_token), agent),
      401,
      'refresh_replayed',
    );
    const after = await platform.api.post('/api/auth/refresh', refresh(second.refresh_token));
    expect(after.status).toBe(401);
    const event = await auditEvent(
      platform,
      { type: 'security.refresh_replay_detected' },
      ({ data }) => data.session_id === first.session_id,
    );
    expect(event).toMatchObject({
      tenant_id: tenant,
      user_id: user,
      user_agent: 'Mozilla/5.0 (thief)',
      severity: 'critical',
    });
    expect(event.client_ip).toBe('127.0.0.1');
    expect(event.trace_id).toMatch(/^[0-9a-f]{32}$/);
    expect(event.data).toHaveProperty('first_used_at');
  });

  it('GET /metrics has what the guide alerts on', async () => {
    const texts = await Promise.all(
      platform.services.map(async (name) => (await fetch(`${platform.urlOf(name)}/metrics`)).text()),
    );
    const all = texts.join('\n');
    for (const line of [
      'auth_login_total{result="failure"',
      'auth_login_total{result="success"',
      'auth_refresh_total{result="replay"}',
      'auth_http_request_duration_seconds_bucket',
      'auth_dependency_up{service=',
    ])
      expect(all).toContain(line);
    expect(all).toMatch(/auth_dependency_up\{[^}]*dep="db"[^}]*\} 1/);
    expect(all).toMatch(/auth_dependency_up\{[^}]*dep="nats"[^}]*\} 1/);
  });
});
