import { randomBytes } from 'node:crypto';
import { repositoryRoot, startInstallation } from '@gatehouse/embedded';
import { apiOf, emptyDatabase, type TestDatabase } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, mode, newPerson, newTenant, type Person, type Platform, signIn } from './platform.ts';
import { releasedCode, releases } from './released-code.ts';
import { gatehouseFor } from './run-gatehouse.ts';
import { expectNothingLost, progress, startTraffic, type Traffic } from './traffic.ts';

// The road of docs/upgrades.md: the last release runs, the database is migrated under it, then its services give way to
// those of this checkout, one after the other, under traffic that notices each request that fails.
const release = releases().at(-1);
if (release === undefined) throw new Error('packages/schema/upgrade/released.json names no release');
const code = releasedCode(release);
const missing = 'missing' in code ? code.missing : undefined;

let database: TestDatabase;
let platform: Platform;
let before: Person;
let traffic: Traffic;
const gatehouse = gatehouseFor(() => platform);
/** Services that run this checkout's code by now. */
const rolled = new Set<string>();

async function startReleased(root: string): Promise<Platform> {
  const installation = await startInstallation({
    mode,
    databaseUrl: database.url,
    // What the older release logged is not for this one to mend.
    searchLogs: false,
    codeOf: (service) => (rolled.has(service) ? repositoryRoot : root),
    // Ready without the bus, as a busy machine may have it late: whoever needs it waits for what it brings.
    env: { REFRESH_REUSE_GRACE_SECONDS: '60', READINESS_REQUIRES: 'db' },
  });
  const api = apiOf(installation.url);
  return {
    ...installation,
    api,
    adminToken: async () => (await signIn(api, installation.admin)).access_token,
  };
}

/** One of everything that people do, through every service, and the audit has it. */
async function everything(what: string): Promise<void> {
  const person = await newPerson(platform.api);
  const refreshed = await platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token });
  expect(refreshed.status, `${what}: ${refreshed.text}`).toBe(200);
  const me = await platform.api.get('/api/auth/me', { token: refreshed.body.access_token });
  expect(me.body, what).toMatchObject({ user_id: person.user_id });
  const tenant = await newTenant(platform, 'upgrade');
  await issueNatsUser(what);
  for (const query of [
    { type: 'session.refreshed', user_id: person.user_id },
    { type: 'admin.tenant.created', tenant_id: tenant },
  ])
    await auditEvent(platform, query);
  const letters = await platform.api.get('/api/admin/dead-letters', { token: await platform.adminToken() });
  expect(letters.body.unreachable, `${what}: ${letters.text}`).toEqual([]);
}

/** Something that a consumer of auth gave up on, as a release before it did. */
const letterOfBefore = () =>
  database.query(
    `insert into auth.dead_letter (consumer, type, subject, payload, reason, deliveries)
     values ('auth-of-before', 'session.refreshed', 'session.refreshed', 'no json', 'the payload is not JSON', 1)`,
  );

async function issueNatsUser(what: string): Promise<void> {
  const token = await platform.adminToken();
  const post = async (path: string, body: unknown) => {
    const answer = await platform.api.post(`/api/nats${path}`, body, { token });
    expect(answer.status, `${what}: ${answer.text}`).toBe(201);
    return answer.body;
  };
  const name = `upgrade-${randomBytes(4).toString('hex')}`;
  const account = await post('/accounts', { name });
  const user = await post('/users', { account_id: account.id, name });
  const { creds } = await post(`/users/${user.id}/credentials`, { ttl_seconds: 3_600 });
  expect(creds, what).toContain('BEGIN NATS USER JWT');
}

/** An event of a type that nobody knows, as a release to come would write it. */
async function fromTheFuture(type: string): Promise<void> {
  await database.query(
    `insert into auth.outbox (id, type, subject, aggregate, data) values (gen_random_uuid(), $1, $1, 'upgrade', $2)`,
    [type, { tenant_id: null, trace_id: '0'.repeat(32), occurred_at: new Date().toISOString() }],
  );
  await auditEvent(platform, { type });
}

const services = mode === 'one' ? ['all-in-one'] : ['token', 'auth', 'nats-identity', 'audit', 'gateway'];
const told = missing === undefined ? '' : ` (skipped: ${missing})`;

describe.skipIf(missing !== undefined || mode === 'scaled')(`an upgrade from the last release${told}`, () => {
  beforeAll(async () => {
    database = await emptyDatabase();
    platform = await startReleased('root' in code ? code.root : '');
    before = await newPerson(platform.api);
    await letterOfBefore();
    await everything('before');
    traffic = await startTraffic(platform, 2);
    await gatehouse.done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
  });
  afterAll(async () => {
    await traffic?.stop();
    await platform?.close();
    await database?.drop();
    gatehouse.close();
  });

  it('migrating under the running services of before lets no request fail', async () => {
    await progress(traffic, 5);
    const applied = await gatehouse.json(['migrate', 'up']);
    expect(applied.applied.every((name: string) => name > release.newest)).toBe(true);
    await progress(traffic, 20);
    expect(traffic.refreshers.flatMap(({ refused }) => refused)).toEqual([]);
  });

  it('the services of before do all that they did, on the new schema', async () => {
    await everything('old code, new schema');
    await fromTheFuture('auth.upgrade.foreseen');
  });

  // Discarding came with 0012.
  it.runIf(mode === 'split' && release.newest < '0012')(
    'a gateway that is new before the others does all that they can, and says who cannot discard a dead letter yet',
    async () => {
      await platform.stopService('gateway');
      rolled.add('gateway');
      await platform.startService('gateway');
      await everything('gateway is new before the others');
      const waiting = await gatehouse.json(['dead-letters', 'list']);
      const discard = ['dead-letters', 'discard', waiting[0].id, '--reason', 'too early', '--yes'];
      const refused = await gatehouse.run(discard);
      expect(refused.err).toContain('auth runs an older release that cannot do this yet');
      expect(refused.code).toBe(1);
      expect(await gatehouse.json(['dead-letters', 'list'])).toEqual(waiting);
    },
  );

  it.each(services)(
    '%s gives way to its new release, and with the others as they are all works',
    async (service) => {
      await platform.stopService(service);
      rolled.add(service);
      await platform.startService(service);
      await progress(traffic, 5);
      await everything(`${service} is new`);
    },
  );

  it('tokens, sessions and credentials of before are as good as they were', async () => {
    const me = await platform.api.get('/api/auth/me', { token: before.access_token });
    expect(me.body, me.text).toMatchObject({ user_id: before.user_id });
    const refreshed = await platform.api.post('/api/auth/refresh', { refresh_token: before.refresh_token });
    expect(refreshed.status, refreshed.text).toBe(200);
    await signIn(platform.api, { email: before.email, password: before.password });
    expect(await gatehouse.json(['whoami'])).toMatchObject({ email: platform.admin.email });
  });

  it('a dead letter of before is discarded, of which the release of before knew nothing', async () => {
    const [letter] = await gatehouse.json(['dead-letters', 'list']);
    await gatehouse.done(['dead-letters', 'discard', letter.id, '--reason', 'no event', '--yes']);
    await auditEvent(platform, { type: 'admin.dead_letter.discarded' });
    expect(await gatehouse.json(['dead-letters', 'list'])).toEqual([]);
  });

  it('no event was lost on the way, and the audit’s chains are sound from the first record to the last', async () => {
    await fromTheFuture('auth.upgrade.foretold');
    await traffic.stop();
    await expectNothingLost(platform, traffic);
    expect(await gatehouse.done(['audit', 'verify'])).toContain('the trail is sound');
  });

  it.runIf(mode === 'one')(
    'the way back: the release of before takes over again, with every account and session that was made since',
    async () => {
      const since = await newPerson(platform.api);
      await platform.stopService('all-in-one');
      // Since 0011 a release can tell that it works with a newer schema, which then stays as it is.
      if (release.newest < '0011') await gatehouse.done(['migrate', 'down-to', release.newest, '--yes']);
      rolled.clear();
      await platform.startService('all-in-one');
      await signIn(platform.api, { email: since.email, password: since.password });
      const refreshed = await platform.api.post('/api/auth/refresh', { refresh_token: since.refresh_token });
      expect(refreshed.status, refreshed.text).toBe(200);
      await everything('back again');
      expect(await gatehouse.done(['audit', 'verify'])).toContain('the trail is sound');
    },
  );
});
