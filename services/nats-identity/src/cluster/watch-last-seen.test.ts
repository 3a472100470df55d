import { eventually } from '@gatehouse/kit/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serverVersions } from '../server-testing.ts';
import { type IdentityGround, jwtOf, startIdentityGround } from '../user/identity-testing.ts';

describe.each(serverVersions)('on nats-server $version', ({ binary }) => {
  let ground: IdentityGround;
  let accountId: string;
  beforeAll(async () => {
    if (binary === undefined) return;
    ground = await startIdentityGround(binary, { NATS_HEALTH_INTERVAL_SECONDS: '1' });
    accountId = (await ground.account({ limits: { disk_storage: -1, mem_storage: -1 } })).id;
    await ground.settled(accountId);
  }, 60_000);
  afterAll(() => ground?.close());
  const it = test.skipIf(binary === undefined);

  const seen = async (userId: string) => {
    const user = await ground.ok('GET', `/users/${userId}`);
    const { items } = await ground.ok('GET', `/credentials?user_id=${userId}`);
    return {
      user: user.last_seen_at as string | null,
      credentials: items.map(({ last_seen_at }: { last_seen_at: string | null }) => last_seen_at),
    };
  };

  it('the credential that is used is known, and one that lies about is not', async () => {
    const user = await ground.user(accountId);
    const idle = await ground.user(accountId);
    const { creds } = await ground.issue(user.id);
    await ground.issue(idle.id);
    await ground.settled(accountId);
    expect(await seen(user.id)).toEqual({ user: null, credentials: [null] });
    // Whoever connects in the first moments, before the watch is there, is found by its first look.
    const connection = await ground.connect(creds);
    await eventually(async () => {
      const { user: at, credentials } = await seen(user.id);
      expect(at).not.toBeNull();
      expect(credentials).toEqual([at]);
    }, 20_000);
    expect(await seen(idle.id)).toEqual({ user: null, credentials: [null] });
    await connection.close();
  }, 60_000);

  it('a bearer that connects is seen by the event, and its JWT is kept nowhere', async () => {
    const user = await ground.user(accountId, { claims: { bearer_token: true } });
    const issued = await ground.issue(user.id);
    await ground.settled(accountId);
    const jwt = jwtOf(issued.creds);
    const connection = await ground.connectBearer(jwt);
    // Gone before anybody could ask for the connections.
    await connection.close();
    await eventually(async () => expect((await seen(user.id)).user).not.toBeNull(), 20_000);
    const { database } = ground.service.platform;
    for (const table of ['outbox', 'credential', 'nats_user', 'cluster_server', 'cluster', 'account_sync']) {
      const rows = await database.query<{ text: string | null }>(
        `select string_agg(t::text, '') as text from natsid.${table} t`,
      );
      expect(rows[0]?.text ?? '').not.toContain(jwt.split('.')[2]);
    }
  }, 60_000);

  it('who was connected all along is found when all connections are asked for', async () => {
    const user = await ground.user(accountId);
    const { creds } = await ground.issue(user.id);
    await ground.settled(accountId);
    const connection = await ground.connect(creds);
    await eventually(async () => expect((await seen(user.id)).user).not.toBeNull(), 20_000);
    await ground.service.platform.database.query('update natsid.nats_user set last_seen_at = null');
    // Another revision of the cluster is watched anew, and that begins with asking.
    const { items } = await ground.ok('GET', '/clusters');
    await ground.ok('PATCH', `/clusters/${items[0].id}`, { description: 'watched anew' });
    await eventually(async () => expect((await seen(user.id)).user).not.toBeNull(), 20_000);
    await connection.close();
  }, 60_000);

  it('an account with streams is not deleted without consent, and says so at once', async () => {
    const { id } = await ground.account({ limits: { disk_storage: -1, mem_storage: -1 } });
    const user = await ground.user(id);
    const { creds } = await ground.issue(user.id);
    await ground.settled(id);
    const connection = await ground.connect(creds);
    await eventually(async () => {
      const jsm = await jetstreamManager(connection);
      await jsm.streams.add({ name: 'KEPT', subjects: ['kept.>'] });
    }, 20_000);
    const refused = await ground.ask('DELETE', `/accounts/${id}`);
    expect({ status: refused.status, code: refused.body.code }).toEqual({
      status: 409,
      code: 'account_not_empty',
    });
    expect(refused.body.detail).toContain('1 stream:');
    expect((await ground.ok('GET', `/accounts/${id}`)).state).toBe('active');
    const taken = await ground.ask('DELETE', `/accounts/${id}?purge=true`);
    expect(taken.status).toBe(202);
    await eventually(
      async () => expect(await ground.service.told('natsid.account.deleted', { id })).toHaveLength(1),
      30_000,
    );
    expect(await ground.service.told('natsid.account.purged', { id })).toHaveLength(1);
    expect((await ground.ask('GET', `/accounts/${id}`)).body.state ?? 'deleted').toBe('deleted');
    await connection.close();
  }, 90_000);
});
