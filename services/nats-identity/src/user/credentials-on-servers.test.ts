import { eventually } from '@gatehouse/kit/testing';
import { createNkey } from '@gatehouse/nats-claims';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serverVersions } from '../server-testing.ts';
import { type IdentityGround, startIdentityGround } from './identity-testing.ts';

/** Whether a message published by one reaches another on the subject. */
async function reaches(from: NatsConnection, to: NatsConnection, subject: string): Promise<boolean> {
  const heard = to.subscribe(subject, { max: 1 });
  await to.flush();
  from.publish(subject, 'x');
  await from.flush();
  await to.flush();
  const got = heard.getReceived() > 0;
  heard.unsubscribe();
  return got;
}

const isOpen = async (connection: NatsConnection): Promise<boolean> => {
  try {
    await connection.rtt();
    return true;
  } catch {
    return false;
  }
};

const why = async (connection: NatsConnection): Promise<string> => String(await connection.closed());

describe.each(serverVersions)('on nats-server $version', ({ binary }) => {
  let ground: IdentityGround;
  let accountId: string;
  beforeAll(async () => {
    if (binary === undefined) return;
    ground = await startIdentityGround(binary);
    accountId = (await ground.account()).id;
    await ground.settled(accountId);
  }, 60_000);
  afterAll(() => ground?.close());
  const it = test.skipIf(binary === undefined);

  /** Creds of a new user whose account every server has. */
  async function credsOf(about: object = {}, issue: object = {}) {
    const user = await ground.user(accountId, about);
    const issued = await ground.issue(user.id, issue);
    await ground.settled(accountId);
    return { user, ...issued };
  }

  it('a user connects with what was issued, and its permissions hold', async () => {
    const { creds } = await credsOf({
      claims: { pub: { allow: ['out.>'] }, sub: { allow: ['in.>', 'out.>'] } },
    });
    const connection = await ground.connect(creds);
    expect(await reaches(connection, connection, 'out.a')).toBe(true);
    const all = await ground.connect((await credsOf()).creds);
    expect(await reaches(connection, all, 'in.a')).toBe(false);
    expect(await reaches(all, connection, 'in.a')).toBe(true);
    await Promise.all([connection.close(), all.close()]);
  });

  it('credentials end with their lifetime: the live connection and the next', async () => {
    const { creds } = await credsOf({}, { ttl_seconds: 3 });
    const connection = await ground.connect(creds);
    expect(await why(connection)).toMatch(/Expired/i);
    // In the very second of its end a server still lets it in, for as long as that lasts.
    await eventually(() => expect(ground.connect(creds)).rejects.toThrow());
  });

  it('a revoked user is cut off, what it held is refused, and what is issued after its restoration is taken', async () => {
    const { user, creds } = await credsOf();
    const connection = await ground.connect(creds);
    await ground.ok('POST', `/users/${user.id}/revoke`, {});
    expect(await why(connection)).toMatch(/revoked|Authorization Violation|Authentication/i);
    await ground.settled(accountId);
    await expect(ground.connect(creds)).rejects.toThrow();
    await ground.ok('POST', `/users/${user.id}/restore`, {});
    // At once, within the second of the revocation: its iat is one ahead of it.
    const again = await ground.connect((await ground.issue(user.id)).creds);
    expect(await isOpen(again)).toBe(true);
    await again.close();
  });

  it('revoking everybody cuts off every user of the account and nobody else’s', async () => {
    const account = await ground.account();
    const [one, two] = [await ground.user(account.id), await ground.user(account.id)];
    const [a, b] = [(await ground.issue(one.id)).creds, (await ground.issue(two.id)).creds];
    await ground.settled(account.id);
    const elsewhere = await ground.connect((await credsOf()).creds);
    const [first, second] = [await ground.connect(a), await ground.connect(b)];
    const answer = await ground.ok('POST', `/accounts/${account.id}/revocations`, { public_key: '*' });
    expect(answer.change.affected).toMatchObject({ users: 2, disconnects: true, clusters: 1 });
    await Promise.all([first.closed(), second.closed()]);
    await ground.settled(account.id);
    for (const creds of [a, b]) await expect(ground.connect(creds)).rejects.toThrow();
    expect(await isOpen(elsewhere)).toBe(true);
    const again = await ground.connect((await ground.issue(one.id)).creds);
    await Promise.all([again.close(), elsewhere.close()]);
  });

  it('superseding cuts off the earlier credentials, and the new ones work', async () => {
    const { user, creds } = await credsOf();
    const connection = await ground.connect(creds);
    const next = await ground.issue(user.id, { supersede: true });
    await connection.closed();
    await ground.settled(accountId);
    await expect(ground.connect(creds)).rejects.toThrow();
    await (await ground.connect(next.creds)).close();
  });

  it('deleting a user cuts it off for good', async () => {
    const { user, creds } = await credsOf();
    const connection = await ground.connect(creds);
    await ground.ok('DELETE', `/users/${user.id}`);
    await connection.closed();
    await ground.settled(accountId);
    await expect(ground.connect(creds)).rejects.toThrow();
  });

  it('a role edit closes connections exactly when its dry run said so', async () => {
    const role = await ground.role(
      accountId,
      { pub: { allow: ['a.*', 'b.*'] }, subs: 10 },
      { description: 'old' },
    );
    const { creds } = await credsOf({ role_id: role.id });
    const edits: readonly (readonly [object, boolean])[] = [
      [{ template: { subs: 10 } }, false],
      [{ template: { pub: { allow: ['a.*', 'b.*'] }, sub: {}, bearer_token: false, src: [] } }, false],
      [{ description: 'old', name: role.name }, false],
      [{ description: 'new' }, true],
      [{ template: { pub: { allow: ['a.*'] } } }, true],
      [{ template: { subs: null } }, true],
    ];
    for (const [edit, closes] of edits) {
      const connection = await ground.connect(creds);
      const dry = await ground.ok('PATCH', `/roles/${role.id}?dry_run=true`, edit);
      expect([edit, dry.change.affected.disconnects]).toEqual([edit, closes]);
      const done = await ground.ok('PATCH', `/roles/${role.id}`, edit);
      expect(done.change).toEqual({ ...dry.change, dry_run: false });
      // Another change of the same account goes the same way afterwards: by then the edit has arrived.
      await ground.role(accountId);
      await ground.settled(accountId);
      if (closes) await connection.closed();
      expect([edit, await isOpen(connection)]).toEqual([edit, !closes]);
      await connection.close();
    }
  });

  it('template functions give each user its own subjects', async () => {
    const role = await ground.role(accountId, {
      pub: {
        allow: ['of.{{name()}}', 'key.{{subject()}}', 'team.{{tag(team)}}.>', 'acc.{{account-name()}}'],
      },
      sub: { allow: ['>'] },
    });
    const [red, none] = [
      await credsOf({
        role_id: role.id,
        name: `red-${accountId.slice(-4)}`,
        claims: { tags: ['team:red', 'team:blue'] },
      }),
      await credsOf({ role_id: role.id }),
    ];
    const listener = await ground.connect((await credsOf()).creds);
    const one = await ground.connect(red.creds);
    const account = await ground.ok('GET', `/accounts/${accountId}`);
    const may: readonly (readonly [string, boolean])[] = [
      [`of.${red.user.name}`, true],
      [`of.${none.user.name}`, false],
      [`key.${red.user.public_key}`, true],
      [`key.${none.user.public_key}`, false],
      ['team.red.x', true],
      ['team.blue.x', true],
      ['team.green.x', false],
      [`acc.${account.name}`, true],
    ];
    for (const [subject, allowed] of may)
      expect([subject, await reaches(one, listener, subject)]).toEqual([subject, allowed]);
    const other = await ground.connect(none.creds);
    expect(await reaches(other, listener, 'team.red.x')).toBe(false);
    expect(await reaches(other, listener, `of.${none.user.name}`)).toBe(true);
    await Promise.all([one.close(), other.close(), listener.close()]);
  });

  it('a user that keeps its own key connects with the JWT that it was given, a bearer with the JWT alone', async () => {
    const own = createNkey('user');
    const { jwt } = await credsOf({ public_key: own.publicKey });
    await (await ground.connectOwn(jwt, own.seed())).close();
    await expect(ground.connectOwn(jwt, createNkey('user').seed())).rejects.toThrow();
    await expect(ground.connectBearer(jwt)).rejects.toThrow();
    const bearer = await credsOf({ claims: { bearer_token: true } });
    await (await ground.connectBearer(bearer.jwt)).close();
  });

  it('a user that changes its role keeps the old rights with what it holds, unless that is revoked', async () => {
    const [old, next] = [
      await ground.role(accountId, { pub: { allow: ['old'] } }),
      await ground.role(accountId, { pub: { allow: ['new'] } }),
    ];
    const { user, creds } = await credsOf({ role_id: old.id });
    const connection = await ground.connect(creds);
    const moved = await ground.ok('PATCH', `/users/${user.id}`, { role_id: next.id });
    expect(moved).toMatchObject({ still_valid: 1, change: { affected: { disconnects: false, users: 1 } } });
    expect(await reaches(connection, connection, 'old')).toBe(true);
    const revoked = await ground.ok('PATCH', `/users/${user.id}`, { revoke_issued: true });
    expect(revoked).toMatchObject({
      still_valid: 0,
      change: { affected: { disconnects: true, accounts: 1 } },
    });
    await connection.closed();
    const again = await ground.connect((await ground.issue(user.id)).creds);
    expect([await reaches(again, again, 'old'), await reaches(again, again, 'new')]).toEqual([false, true]);
    // A role without users goes, and with it what it signed.
    const third = await credsOf({ role_id: next.id });
    await ground.ok('PATCH', `/users/${third.user.id}`, { role_id: old.id });
    await ground.ok('PATCH', `/users/${user.id}`, { role_id: old.id });
    const gone = await ground.ok('DELETE', `/roles/${next.id}`);
    expect(gone.change.affected).toMatchObject({ disconnects: true, users: 2 });
    await again.closed();
    await eventually(() => expect(ground.connect(third.creds)).rejects.toThrow());
  });
});
