import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startToken, type TestToken } from './testing.ts';

let service: TestToken;
beforeAll(async () => {
  service = await startToken();
});
afterAll(async () => {
  await service.platform.close();
});

const sql = (text: string, values: unknown[] = []) => service.platform.database.query(text, values);
const count = async (table: string, column: string, id: string) =>
  (await sql(`select count(*)::int as n from token.${table} where ${column} = $1`, [id]))[0]?.n;

test('a day after their end tokens and sessions are forgotten, and nothing that lives', async () => {
  const [gone, revoked, kept] = [await service.signIn(), await service.signIn(), await service.signIn()];
  await service.platform.api.post('/api/auth/logout', undefined, { token: revoked.access });
  await sql(`update token.session set expires_at = now() - interval '25 hours' where id = $1`, [
    gone.sessionId,
  ]);
  await sql(`update token.refresh_token set expires_at = now() - interval '25 hours' where family_id = $1`, [
    gone.sessionId,
  ]);
  service = await service.restart();
  await eventually(async () => (await count('session', 'id', gone.sessionId)) === 0, 15_000);
  expect(await count('refresh_token', 'family_id', gone.sessionId)).toBe(0);
  expect(await count('session', 'id', revoked.sessionId)).toBe(1);
  expect((await service.refresh(revoked.refresh)).body.code).toBe('session_revoked');
  expect((await service.refresh(gone.refresh)).body.code).toBe('invalid_refresh_token');
  expect((await service.refresh(kept.refresh)).status).toBe(200);
});

test('refreshes, tokens and live sessions are counted', async () => {
  const person = await service.signIn();
  await service.refresh(person.refresh);
  await service.refresh(person.refresh);
  await service.refresh(person.refresh, { 'user-agent': 'thief' });
  await service.refresh('nonsense');
  const text = await service.platform.metrics.registry.metrics();
  for (const line of [
    /auth_refresh_total\{result="ok"\} [1-9]/,
    /auth_refresh_total\{result="retried"\} 1/,
    /auth_refresh_total\{result="replay"\} 1/,
    /auth_refresh_total\{result="invalid"\} [1-9]/,
    /session_refreshes_total [1-9]/,
    /token_issued_total\{kind="access"\} [1-9]/,
    /token_issued_total\{kind="refresh"\} [1-9]/,
  ])
    expect(text).toMatch(line);
  service = await service.restart();
  await eventually(
    async () =>
      expect(await service.platform.metrics.registry.metrics()).toMatch(
        /session_active\{tenant="[0-9a-f-]{36}"\} 1/,
      ),
    15_000,
  );
});

test('while the database is away a refresh is a quick 503, the JWKS goes on, and it comes back by itself', async () => {
  const person = await service.signIn();
  const road = await roadTo(new URL(service.platform.database.url));
  const before = service.platform.env.DATABASE_URL ?? '';
  service = await service.restart({ DATABASE_URL: road.url });
  expect((await service.refresh(person.refresh)).status).toBe(200);
  await road.cut();
  const begun = performance.now();
  const answer = await service.refresh(person.refresh);
  expect([answer.status, answer.body.code]).toEqual([503, 'database_unavailable']);
  expect(answer.headers.get('retry-after')).toBe('1');
  expect(performance.now() - begun).toBeLessThan(5000);
  expect((await service.platform.api.get('/.well-known/jwks.json')).status).toBe(200);
  await road.mend();
  await eventually(async () => (await service.refresh(person.refresh)).status === 200);
  service = await service.restart({ DATABASE_URL: before });
  await road.cut();
});

/** A way to the database that can be cut: to whoever is connected it looks as if the server had stopped. */
async function roadTo(target: URL): Promise<{ url: string; cut(): Promise<void>; mend(): Promise<void> }> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one
        .on('error', () => {})
        .on('close', () => {
          open.delete(one);
          other.destroy();
        });
      one.pipe(other);
    }
  });
  const listen = (port: number) => new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const url = new URL(target);
  url.host = `127.0.0.1:${port}`;
  return {
    url: url.href,
    mend: () => listen(port),
    async cut() {
      const closed = new Promise((done) => server.close(done));
      for (const one of open) one.destroy();
      await closed;
    },
  };
}
