import { createNkey } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dropRevocations } from '../user/drop-revocations.ts';
import { claimsOf, type IdentityGround, startIdentityGround } from '../user/identity-testing.ts';
import { purgeLedger } from '../user/purge-ledger.ts';

let ground: IdentityGround;
beforeAll(async () => {
  ground = await startIdentityGround(null);
}, 60_000);
afterAll(() => ground?.close());

const code = (answer: { status: number; body: { code?: string } }) => [answer.status, answer.body?.code];
const sql = (text: string, values: unknown[] = []) => ground.service.platform.database.query(text, values);
const inJwt = async (accountId: string) =>
  claimsOf((await ground.ok('GET', `/accounts/${accountId}`)).jwt).nats.revocations;
const listed = async (accountId: string) =>
  (await ground.ok('GET', `/accounts/${accountId}/revocations`)).items;
const revoke = (accountId: string, public_key: string, more: object = {}) =>
  ground.ok('POST', `/accounts/${accountId}/revocations`, { public_key, ...more });
const iatOf = async (accountId: string) =>
  claimsOf((await ground.ok('GET', `/accounts/${accountId}`)).jwt).iat;

/** As if all this had happened so long ago. */
async function age(accountId: string, seconds: number): Promise<void> {
  await sql(
    `update natsid.revocation set before = before - $2::int8, until = until - $2 * interval '1 second' where account_id = $1`,
    [accountId, seconds],
  );
  await sql(
    `update natsid.credential set iat = iat - $2::int8, issued_at = issued_at - $2 * interval '1 second',
       expires_at = expires_at - $2 * interval '1 second' where account_id = $1`,
    [accountId, seconds],
  );
}

describe('a revocation', () => {
  test('of one key lasts until the last that was issued to it expires, and is told with its count', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    await ground.issue(user.id, { ttl_seconds: 100 });
    const { credential } = await ground.issue(user.id, { ttl_seconds: 500 });
    const made = await revoke(account.id, user.public_key, { reason: 'leaked' });
    expect(made).toMatchObject({
      public_key: user.public_key,
      reason: 'leaked',
      until: credential.expires_at,
    });
    expect(made.change.affected).toMatchObject({ accounts: 1, users: 1, disconnects: true });
    const { change: _, ...view } = made;
    expect(await listed(account.id)).toEqual([view]);
    expect(await inJwt(account.id)).toEqual({ [user.public_key]: Date.parse(made.before) / 1000 });
    expect(await ground.service.told('natsid.credentials.revoked', { account_id: account.id })).toMatchObject(
      [{ data: { public_key: user.public_key, count: 2, reason: 'leaked' } }],
    );
    // The user is not shut out: what is issued next is newer.
    expect(claimsOf((await ground.issue(user.id)).jwt).iat).toBeGreaterThan(Date.parse(made.before) / 1000);
  });

  test('of what never expires, of an unknown key, and in an imported account has no end', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    await ground.issue(user.id, { never_expires: true });
    expect((await revoke(account.id, user.public_key)).until).toBeNull();
    expect((await revoke(account.id, createNkey('user').publicKey)).until).toBeNull();
    const imported = await ground.account();
    const known = await ground.user(imported.id);
    await ground.issue(known.id);
    await sql('update natsid.account set imported = true where id = $1', [imported.id]);
    expect((await revoke(imported.id, known.public_key)).until).toBeNull();
    expect((await revoke(imported.id, '*')).until).toBeNull();
  });

  test('of everybody takes the place of single ones, and lasts as long as they would', async () => {
    const account = await ground.account();
    const [one, two] = [await ground.user(account.id), await ground.user(account.id)];
    const { credential } = await ground.issue(one.id, { ttl_seconds: 900 });
    await ground.issue(two.id, { ttl_seconds: 60 });
    await revoke(account.id, one.public_key);
    const all = await revoke(account.id, '*');
    expect(all.change.affected).toMatchObject({ users: 1, disconnects: true });
    expect(await listed(account.id)).toMatchObject([{ public_key: '*', until: credential.expires_at }]);
    expect(Object.keys(await inJwt(account.id))).toEqual(['*']);
    await revoke(account.id, createNkey('user').publicKey);
    await revoke(account.id, '*');
    expect(await listed(account.id)).toMatchObject([{ public_key: '*', until: null }]);
  });

  test('in a dry run shows whom it would reach and revokes nothing', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    await ground.issue(user.id);
    const iat = await iatOf(account.id);
    const dry = await ground.ok('POST', `/accounts/${account.id}/revocations?dry_run=true`, {
      public_key: '*',
    });
    expect(dry.change).toMatchObject({ dry_run: true, affected: { users: 1, disconnects: true } });
    expect([await listed(account.id), await iatOf(account.id)]).toEqual([[], iat]);
  });

  test('is of users only, in a living account', async () => {
    const account = await ground.account();
    const post = (public_key: unknown) =>
      ground.ask('POST', `/accounts/${account.id}/revocations`, { public_key });
    for (const key of [account.public_key, 'U', '**', 7, null])
      expect(code(await post(key))).toEqual([400, 'invalid_request']);
    await sql(
      `update natsid.account set state = 'deleting', state_due_at = now() + interval '1 day' where id = $1`,
      [account.id],
    );
    expect(code(await post('*'))).toEqual([409, 'account_not_active']);
  });

  test('is not dropped while it keeps something dead; afterwards it may be', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    await ground.issue(user.id, { ttl_seconds: 100 });
    await revoke(account.id, user.public_key);
    const drop = (key: string, query = '') =>
      ground.ask('DELETE', `/accounts/${account.id}/revocations/${key}${query}`);
    expect(code(await drop(user.public_key))).toEqual([409, 'key_in_use']);
    expect(code(await drop(user.public_key, '?force=true'))).toEqual([409, 'key_in_use']);
    await age(account.id, 200);
    expect((await drop(user.public_key)).status).toBe(200);
    expect(code(await drop(user.public_key))).toEqual([404, 'not_found']);
    expect(await inJwt(account.id)).toBeUndefined();
    const unknown = createNkey('user').publicKey;
    await revoke(account.id, unknown);
    expect(code(await drop(unknown))).toEqual([409, 'key_in_use']);
    expect((await drop(unknown, '?force=true')).status).toBe(200);
  });
});

describe('upkeep', () => {
  test('drops what killed only what has expired for an hour, issuing each account anew once', async () => {
    const account = await ground.account();
    const users = await Promise.all([1, 2, 3].map(() => ground.user(account.id)));
    for (const user of users) await ground.issue(user.id, { ttl_seconds: 100 });
    const [first, second, third] = users.map(({ public_key }) => public_key);
    await revoke(account.id, first);
    await revoke(account.id, second);
    await age(account.id, 3_600);
    const before = await iatOf(account.id);
    // Expired, but not for an hour.
    await dropRevocations.run(ground.ctx);
    expect(Object.keys(await inJwt(account.id)).sort()).toEqual([first, second].sort());
    await age(account.id, 200);
    await ground.issue(users[2].id, { never_expires: true });
    await revoke(account.id, third);
    const revoked = await iatOf(account.id);
    await dropRevocations.run(ground.ctx);
    expect(Object.keys(await inJwt(account.id))).toEqual([third]);
    expect(revoked).toBeGreaterThan(before);
    const dropped = await ground.service.told('natsid.revocation.dropped', { account_id: account.id });
    expect(dropped.map(({ data }) => data.public_key).sort()).toEqual([first, second].sort());
    const iat = await iatOf(account.id);
    await dropRevocations.run(ground.ctx);
    expect(await iatOf(account.id)).toBe(iat);
  });

  test('never drops what the ledger says is still alive, whatever the revocation’s own end says', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    await ground.issue(user.id);
    await revoke(account.id, user.public_key);
    await sql(`update natsid.revocation set until = now() - interval '9 days' where account_id = $1`, [
      account.id,
    ]);
    await dropRevocations.run(ground.ctx);
    expect(Object.keys(await inJwt(account.id))).toEqual([user.public_key]);
  });

  test('forgets credentials long after their end, never ones that have none', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    const old = (await ground.issue(user.id, { ttl_seconds: 60 })).credential.id;
    const endless = (await ground.issue(user.id, { never_expires: true })).credential.id;
    const young = (await ground.issue(user.id)).credential.id;
    // Ids carry the time of issue.
    const aged = (id: string) => `0180${id.slice(4)}`;
    for (const id of [old, endless])
      await sql('update natsid.credential set id = $2 where id = $1', [id, aged(id)]);
    await sql(`update natsid.credential set expires_at = now() - interval '401 days' where id = $1`, [
      aged(old),
    ]);
    await purgeLedger.run(ground.ctx);
    const { items } = await ground.ok('GET', `/credentials?user_id=${user.id}`);
    expect(items.map(({ id }: { id: string }) => id)).toEqual([young, aged(endless)]);
  });
});

describe('the ledger', () => {
  test('is listed by state and page by page, and outlives its users', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    for (let at = 0; at < 3; at += 1) await ground.issue(user.id, { ttl_seconds: 600 });
    await sql(
      `update natsid.credential set expires_at = now() - interval '1 second'
       where id = (select id from natsid.credential where user_id = $1 order by id limit 1)`,
      [user.id],
    );
    const list = async (query: string) => ground.ok('GET', `/credentials?account_id=${account.id}&${query}`);
    const statesOf = async (query: string) =>
      (await list(query)).items.map(({ state }: { state: string }) => state);
    expect(await statesOf('')).toEqual(['active', 'active', 'expired']);
    await ground.ok('DELETE', `/users/${user.id}`);
    expect(await statesOf('state=revoked')).toEqual(['revoked', 'revoked']);
    expect(await statesOf('state=active')).toEqual([]);
    const first = await list('limit=2');
    expect(first.items).toMatchObject([{ user: null }, { user: null, public_key: user.public_key }]);
    const second = await list(`limit=2&cursor=${first.next_cursor}`);
    expect([second.items.length, second.next_cursor]).toEqual([1, null]);
    expect(code(await ground.ask('GET', `/credentials?cursor=${first.next_cursor}`))).toEqual([
      400,
      'bad_cursor',
    ]);
    expect(Object.keys(await inJwt(account.id))).toEqual([user.public_key]);
  });

  test('a user that holds nothing is deleted without telling any server', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    const iat = await iatOf(account.id);
    const { change } = await ground.ok('DELETE', `/users/${user.id}`);
    expect(change.affected).toEqual({ accounts: 0, users: 1, disconnects: false, clusters: 0 });
    expect(await iatOf(account.id)).toBe(iat);
    expect(await sql('select from natsid.secret where public_key = $1', [user.public_key])).toEqual([]);
  });
});
