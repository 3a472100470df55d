import { join } from 'node:path';
import { findPgBouncer, temporaryHome } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from './database.ts';
import { auditEvent, expectProblem, newPerson, newTenant, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';
import { expectNothingLost, progress, startTraffic } from './traffic.ts';

const POOL_SIZE = 12;

// The services reach Postgres through PgBouncer in transaction mode, as infra/postgres/pgbouncer.ini has it.
describe.skipIf(findPgBouncer() === undefined)('behind a pooler in transaction mode', () => {
  let platform: Platform;
  beforeAll(async () => {
    platform = await startPlatform({ pooler: true, env: { REFRESH_REUSE_GRACE_SECONDS: '60' } });
  });
  afterAll(() => platform?.close());

  it('people sign in, of ten refreshes with one token there is one successor, and audit tells of it', async () => {
    const person = await newPerson(platform.api);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect(new Set(answers.map(({ body }) => body.refresh_token)).size).toBe(1);
    await auditEvent(platform, { type: 'session.refreshed', user_id: person.user_id });
    const token = person.access_token;
    expect((await platform.api.post('/api/auth/logout', undefined, { token })).status).toBe(204);
    await eventually(async () =>
      expect((await platform.api.get('/api/auth/me', { token })).status).toBe(401),
    );
  });

  it('administrators change tenants and people, and NATS users get credentials', async () => {
    const tenant_id = await newTenant(platform);
    const person = await newPerson(platform.api, { tenant_id });
    const token = await platform.adminToken();
    const locked = await platform.api.post(
      `/api/admin/users/${person.user_id}/lock`,
      { reason: 'a test' },
      { token },
    );
    expect(locked.status, locked.text).toBe(200);
    expectProblem(
      await platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token }),
      401,
      'session_revoked',
    );
    const post = async (path: string, body: unknown) => {
      const answer = await platform.api.post(`/api/nats${path}`, body, { token });
      expect(answer.status, answer.text).toBe(201);
      return answer.body;
    };
    const account = await post('/accounts', { name: 'pooled' });
    const user = await post('/users', { account_id: account.id, name: 'shop' });
    expect((await post(`/users/${user.id}/credentials`, { ttl_seconds: 3_600 })).creds).toContain(
      'BEGIN NATS',
    );
  });

  it('each service is logged in as itself alone, on no more connections than the pooler was given', async () => {
    const rows = await ask<{ login: string; names: string[]; most: number }>(
      platform.databaseUrl,
      `select usename as login, array_agg(distinct application_name) as names,
         count(*)::int as most
       from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and usename like 'gatehouse\\_%'
         and application_name <> ''
       group by usename order by usename`,
    );
    const nameOf = (login: string) => login.replace('natsid', 'nats-identity').replace('_', '-');
    expect(rows.map(({ login }) => login)).toEqual(
      ['audit', 'auth', 'gateway', 'natsid', 'token'].map((name) => `gatehouse_${name}`),
    );
    for (const { login, names, most } of rows) {
      expect(names).toEqual([nameOf(login)]);
      expect(most).toBeLessThanOrEqual(POOL_SIZE);
    }
  });

  it('the pooler killed under traffic: 503 meanwhile, recovery without help, nothing acknowledged lost', async () => {
    const traffic = await startTraffic(platform, 6);
    await progress(traffic, 30);
    await platform.pooler.kill();
    await eventually(async () =>
      expectProblem(
        await platform.api.post('/api/auth/refresh', { refresh_token: 'A'.repeat(43) }),
        503,
        'database_unavailable',
      ),
    );
    expect((await platform.api.get('/health/live')).status).toBe(200);
    await platform.pooler.start();
    await progress(traffic, 60);
    await traffic.stop();
    const refused = traffic.refreshers.flatMap((one) => one.refused);
    expect(refused.filter((status) => status !== 503)).toEqual([]);
    await expectNothingLost(platform, traffic);
  });

  it('the command goes past it: migrations, backup and doctor', async () => {
    const home = temporaryHome('gatehouse-pooled-backup-');
    const command = gatehouseFor(
      () => platform,
      () => platform.env,
    );
    expect(await command.done(['migrate', 'up'])).toContain('up to date');
    const file = join(home.path, 'gatehouse.backup');
    expect(await command.done(['backup', '--output', file, '--data-only', '--unencrypted'])).toContain(
      'rows',
    );
    const { checks } = await command.json(['doctor']);
    expect(checks.filter(({ status }: { status: string }) => /failed|warning/.test(status))).toEqual([]);
    expect(checks).toContainEqual(
      expect.objectContaining({ name: 'database.pooler', finding: expect.stringContaining('a way past it') }),
    );
    command.close();
    home.remove();
  });
});
