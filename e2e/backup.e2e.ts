import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { type Installation, startInstallation } from '@gatehouse/embedded';
import { type Api, apiOf, emptyDatabase, eventually, goodPassword } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from './database.ts';
import { connectSoon } from './nats-client.ts';
import {
  auditEvent,
  mode,
  newPerson,
  newTenant,
  type Person,
  type Platform,
  signIn,
  startPlatform,
} from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';
import { progress, startTraffic } from './traffic.ts';

// An installation is backed up beside its traffic, lost, and brought back on an empty machine: another database, another
// NATS with an empty JetStream, nothing but the backup and its key.
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-lost-'));
const at = (name: string) => join(folder, name);
let lost: Platform;
let restored: Platform;
let person: Person;
let creds: string;
let recipient: string;
let jwks: unknown;
const before = gatehouseFor(
  () => lost,
  () => lost.env,
);
const after = gatehouseFor(() => restored);

beforeAll(async () => {
  lost = await startPlatform();
  await before.done(['login', '--email', lost.admin.email], `${lost.admin.password}\n`);
  person = await newPerson(lost.api, { tenant_id: await newTenant(lost) });
  await before.done(['account', 'create', 'orders', '--reason', 'shop']);
  await before.done(['user', 'create', 'printer', '--account', 'orders']);
  await before.done(['user', 'creds', 'printer', '--account', 'orders', '--output', at('printer.creds')]);
  creds = readFileSync(at('printer.creds'), 'utf8');
  jwks = (await lost.api.get('/.well-known/jwks.json')).body;
  await (await connectSoon(lost, creds)).close();
  await auditEvent(lost, { type: 'auth.login.success', user_id: person.user_id });
  ({ recipient } = await before.json(['backup', 'keygen', '--output', at('key')]));
});
afterAll(async () => {
  await Promise.all([lost?.close(), restored?.close()]);
  before.close();
  after.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The platform on the empty machine, from what the restore has left there. */
async function startAgain(databaseUrl: string, settings: string): Promise<Installation> {
  const env = parseEnv(readFileSync(join(settings, 'gatehouse.env'), 'utf8'));
  return startInstallation({
    mode,
    databaseUrl,
    busFolder: join(settings, 'nats'),
    env: { ...(env as Record<string, string>), REFRESH_REUSE_GRACE_SECONDS: '0' },
  });
}

const asPlatform = (installation: Installation, api: Api, drop: () => Promise<void>): Platform => ({
  ...installation,
  api,
  adminToken: async () => (await signIn(api, lost.admin)).access_token,
  async close() {
    await installation.close();
    await drop();
  },
});

describe('an installation that is lost', () => {
  it('was backed up beside its traffic: one moment, every session with its subject, every chain with its end', async () => {
    const traffic = await startTraffic(lost, 4);
    await progress(traffic, 20);
    const registering = (async () => {
      for (let count = 0; count < 20; count += 1) await newPerson(lost.api);
    })();
    const made = await before.json(['backup', '--output', at('backup'), '--recipient', recipient]);
    await registering;
    await traffic.stop();
    expect(traffic.refreshers.flatMap(({ refused }) => refused)).toEqual([]);
    expect(made.secrets.names).toEqual(
      expect.arrayContaining([
        'GATEHOUSE_SECRET',
        'ENCRYPTION_KEYS',
        'ENCRYPTION_CURRENT_KEY_ID',
        'nats/bus.json',
      ]),
    );
    expect((statSync(at('backup')).mode & 0o777).toString(8)).toBe('600');
    expect(await before.done(['backup', 'verify', at('backup'), '--identity', at('key')])).toContain(
      'is whole',
    );
  });

  it('is restored into an empty database, all of it or nothing, and then refused as not empty', async () => {
    const database = await emptyDatabase();
    for (const name of lost.services) await lost.stopService(name);
    const onto = gatehouseFor(() => ({ url: lost.url, databaseUrl: database.url }));
    const args = ['restore', at('backup'), '--identity', at('key'), '--settings-to', at('restored')];
    const { tables } = await onto.json(args);
    expect(tables.find(({ name }: { name: string }) => name === 'audit.event').rows).toBeGreaterThan(20);
    const [odd] = await ask(
      database.url,
      `select
        (select count(*)::int from token.session s where not exists (select from token.subject u where u.user_id = s.user_id)) as sessions,
        (select count(*)::int from token.refresh_token t where not exists (select from token.session s where s.id = t.family_id)) as tokens,
        (select count(*)::int from token.subject s where not exists (select from auth.user_account u where u.id = s.user_id)) as subjects,
        (select count(*)::int from audit.chain c where c.sequence <> (select max(e.sequence) from audit.event e where e.chain = c.chain)) as chains`,
    );
    expect(odd).toEqual({ sessions: 0, tokens: 0, subjects: 0, chains: 0 });
    const again = await onto.run([...args.slice(0, 4), '--yes']);
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('not empty')]);
    onto.close();
    const installation = await startAgain(database.url, at('restored'));
    restored = asPlatform(installation, apiOf(installation.url), database.drop);
  });

  it('lets the same people in: the password, the access token, and the refresh token, which works once', async () => {
    const { email, tenant_id, access_token, refresh_token } = person;
    expect((await restored.api.get('/api/auth/me', { token: access_token })).status).toBe(200);
    await signIn(restored.api, { email, password: goodPassword, tenant_id });
    const refreshed = await restored.api.post('/api/auth/refresh', { refresh_token });
    expect(refreshed.status, refreshed.text).toBe(200);
    expect(refreshed.body.refresh_token).not.toBe(refresh_token);
    const next = await restored.api.post('/api/auth/refresh', {
      refresh_token: refreshed.body.refresh_token,
    });
    expect(next.status, next.text).toBe(200);
    // Two generations old: whoever shows it now has stolen it.
    expect((await restored.api.post('/api/auth/refresh', { refresh_token })).status).toBe(401);
    expect((await restored.api.get('/.well-known/jwks.json')).body).toEqual(jwks);
  });

  it('opens every seed: old creds connect to the new server, and new ones are issued', async () => {
    await after.done(['login', '--email', lost.admin.email], `${lost.admin.password}\n`);
    await (await connectSoon(restored, creds)).close();
    await after.done(['user', 'creds', 'printer', '--account', 'orders', '--output', at('again.creds')]);
    await (await connectSoon(restored, readFileSync(at('again.creds'), 'utf8'))).close();
    expect(await after.json(['keys', 'encryption', 'status'])).toMatchObject({
      keys: [{ id: 'k1', state: 'primary' }],
    });
  });

  it('has its audit: what was before is found, the chains verify, and go on', async () => {
    await auditEvent(restored, { type: 'auth.login.success', user_id: person.user_id });
    const fresh = await newPerson(restored.api, { tenant_id: person.tenant_id });
    await auditEvent(restored, { type: 'auth.login.success', user_id: fresh.user_id });
    const gaps = await ask(
      restored.databaseUrl,
      `select chain from audit.event group by chain having count(*) <> max(sequence) - min(sequence) + 1`,
    );
    expect(gaps).toEqual([]);
    await eventually(async () => expect(await after.done(['audit', 'verify'])).toMatch(/\S/), 60_000);
  });
});
