import { eventually } from '@gatehouse/kit/testing';
import {
  createNkey,
  encodeActivation,
  parseCreds,
  previewTemplate,
  type RoleTemplate,
  type UserClaims,
  validateRoleTemplate,
  validateUserClaims,
} from '@gatehouse/nats-claims';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, jwtAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ServerGround, serverVersions, startServerGround } from './server-testing.ts';

const seconds = () => Math.floor(Date.now() / 1000);

describe.each(serverVersions)('nats-server $version', ({ binary }) => {
  let ground: ServerGround;
  beforeAll(async () => {
    if (binary) ground = await startServerGround(binary);
  });
  afterAll(() => ground?.close());
  const onServer = test.skipIf(binary === undefined);

  onServer('an account without limits is taken, and lets nobody in: so they are written out', async () => {
    const account = await ground.account({}, { raw: true });
    expect(await account.admits()).toBe(false);
  });

  onServer('a user of another network, another hour or another protocol stays out', async () => {
    const account = await ground.account();
    const hour = (from: number) => new Date(Date.now() + from * 3_600_000).toISOString().slice(11, 19);
    expect(await account.admits({ src: ['10.0.0.0/8'] })).toBe(false);
    const times = [{ start: hour(2), end: hour(3) }];
    expect(await account.admits({ times, times_location: 'UTC' })).toBe(false);
    expect(await account.admits({ times: [{ start: hour(-1), end: hour(1) }], times_location: 'UTC' })).toBe(
      true,
    );
    expect(await account.admits({ allowed_connection_types: ['WEBSOCKET', 'MQTT'] })).toBe(false);
  });

  onServer('an expired user stays out, and one that expires is put out', async () => {
    const account = await ground.account();
    expect(await account.admits({}, { expiresAt: seconds() - 5 })).toBe(false);
    const connection = await account.connect({}, { expiresAt: seconds() + 2 });
    await connection.closed();
    expect(connection.isClosed()).toBe(true);
  });

  onServer('a bearer user needs no key, and is refused where the account says so', async () => {
    const account = await ground.account();
    const bearer = async (of: typeof account, claims: UserClaims) => {
      const jwt = parseCreds(of.creds(claims))?.jwt ?? '';
      const connection = await connect({
        servers: ground.cluster.urls,
        authenticator: jwtAuthenticator(jwt),
        reconnect: false,
      }).catch(() => undefined);
      await connection?.close();
      return connection !== undefined;
    };
    expect(await bearer(account, { bearer_token: true })).toBe(true);
    expect(await bearer(account, {})).toBe(false);
    const strict = await ground.account({ limits: { disallow_bearer: true } });
    expect(await bearer(strict, { bearer_token: true })).toBe(false);
  });

  onServer('permissions hold, and a response permission allows the reply and no second', async () => {
    const account = await ground.account();
    const responder = await account.connect({
      pub: { allow: ['nothing'] },
      sub: { allow: ['svc q', 'svc'] },
      resp: { max: 1, ttl: 0 },
    });
    const [errors, asker] = [permissionErrors(responder), await account.connect()];
    const got: string[] = [];
    asker.subscribe('reply', { callback: (_error, message) => void got.push(message.string()) });
    asker.subscribe('elsewhere', { callback: (_error, message) => void got.push(message.string()) });
    responder.subscribe('svc', {
      callback: (_error, message) => {
        message.respond('first');
        message.respond('second');
        responder.publish('elsewhere', 'x');
      },
    });
    await Promise.all([responder.flush(), asker.flush()]);
    asker.publish('svc', 'ask', { reply: 'reply' });
    await eventually(() => expect(errors).toHaveLength(2));
    expect(errors.map((error) => /"(.+)"/.exec(error)?.[1])).toEqual(['reply', 'elsewhere']);
    expect(got).toEqual(['first']);
    await Promise.all([responder.close(), asker.close()]);
  });

  onServer('limits of connections and of one message hold', async () => {
    const account = await ground.account({ limits: { conn: 1, payload: 100 } });
    const first = await account.connect();
    expect(first.info?.max_payload).toBe(100);
    expect(await account.admits()).toBe(false);
    await first.close();
  });

  onServer('a user with a role carries nothing of its own', async () => {
    const key = createNkey('account');
    const scope = {
      kind: 'user_scope',
      key: key.publicKey,
      role: 'r',
      template: { subs: -1, data: -1, payload: -1 },
    };
    const account = await ground.account({}, { signingKeys: [scope] });
    for (const [claims, fits] of [
      [{}, true],
      [{ tags: ['a:b'] }, true],
      [{ pub: {}, sub: {} }, true],
      [{ subs: -1 }, false],
      [{ src: [] }, false],
      [{ bearer_token: true }, false],
      [{ pub: { allow: ['a'] } }, false],
    ] as [UserClaims, boolean][]) {
      expect(validateUserClaims(claims, { scoped: true }).length === 0, JSON.stringify(claims)).toBe(fits);
      expect(await account.admits(claims, { signer: key, scoped: true }), JSON.stringify(claims)).toBe(fits);
    }
  });

  const templates: [string, RoleTemplate][] = [
    [
      'every function',
      { pub: { allow: ['a.{{name()}}', '{{subject()}}.{{account-name()}}', '{{account-subject()}}.>'] } },
    ],
    [
      'every combination of tags',
      {
        pub: { allow: ['{{tag(region)}}.{{tag(team)}}.{{tag(case)}}'] },
        sub: { deny: ['{{account-tag(dept)}}.x'] },
      },
    ],
    ['a missing tag in allow', { pub: { allow: ['{{tag(none)}}.a', 'b'] } }],
    ['a missing tag in deny', { pub: { deny: ['{{tag(none)}}.a'] } }],
    ['a key in capitals', { pub: { allow: ['{{tag(REGION)}}.x'] } }],
    ['a tag with capital letters', { pub: { allow: ['{{tag(case)}}.a', 'x'] } }],
    ['nothing to fill in', { pub: { allow: ['a.*', 'b.>'], deny: ['b.c'] } }],
  ];
  onServer.each(templates)('a role’s template acts as it was previewed: %s', async (_name, template) => {
    const key = createNkey('account');
    const ask = { pub: '$SYS.REQ.USER.INFO', sub: '_INBOX.>' };
    const full = {
      ...template,
      subs: -1,
      data: -1,
      payload: -1,
      // So that whoever has the role can ask what it may.
      ...(template.pub?.allow && { pub: { ...template.pub, allow: [...template.pub.allow, ask.pub] } }),
    };
    const scope = { kind: 'user_scope', key: key.publicKey, role: 'r', template: full };
    const tags = ['region:eu', 'region:us', 'team:core', 'Case:Up', 'case:Low'];
    const account = await ground.account({ tags: ['dept:sales'] }, { name: 'shop', signingKeys: [scope] });
    const creds = account.creds({ tags }, { name: 'ann', signer: key, scoped: true });
    const own = JSON.parse(
      Buffer.from(parseCreds(creds)?.jwt.split('.')[1] ?? '', 'base64url').toString(),
    ).sub;
    const preview = previewTemplate(full, {
      user: { name: 'ann', publicKey: own, tags },
      account: { name: 'shop', publicKey: account.key.publicKey, tags: ['dept:sales'] },
    });
    const connection = await connect({
      servers: ground.cluster.urls,
      authenticator: jwtAuthenticator(
        parseCreds(creds)?.jwt ?? '',
        Buffer.from(parseCreds(creds)?.seed ?? ''),
      ),
      reconnect: false,
    }).catch(() => undefined);
    expect(connection !== undefined).toBe(preview.refused === undefined);
    if (connection === undefined) return;
    const { data } = (await connection.request(ask.pub)).json<{ data: { permissions?: Shown } }>();
    const shown = (side: 'publish' | 'subscribe') => ({
      allow: data.permissions?.[side]?.allow ?? [],
      deny: data.permissions?.[side]?.deny ?? [],
    });
    expect(validateRoleTemplate(template)).toEqual([]);
    expect(sorted(shown('publish'))).toEqual(sorted(preview.pub));
    expect(sorted(shown('subscribe'))).toEqual(sorted(preview.sub));
    await connection.close();
  });

  onServer('a role of which nothing is left denies everything', async () => {
    const key = createNkey('account');
    const template = { subs: -1, data: -1, payload: -1, pub: { allow: ['{{tag(none)}}'] } };
    const scope = { kind: 'user_scope', key: key.publicKey, role: 'r', template };
    const account = await ground.account({}, { signingKeys: [scope] });
    const connection = await account.connect({}, { signer: key, scoped: true });
    const errors = permissionErrors(connection);
    connection.publish('anything');
    await eventually(() => expect(errors).toHaveLength(1));
    await connection.close();
  });

  onServer('JetStream is off until storage is given; flat and tiered limits hold', async () => {
    const off = await (await ground.account()).connect();
    await expect(jetstreamManager(off)).rejects.toThrow();
    await off.close();
    for (const limits of [
      { disk_storage: 10_000_000 },
      { tiered_limits: { R1: { disk_storage: 10_000_000 } } },
    ]) {
      const on = await (await ground.account({ limits })).connect();
      const manager = await jetstreamManager(on);
      await manager.streams.add({ name: 'fits', subjects: ['a'], max_bytes: 1_000_000 });
      await manager.consumers.add('fits', { durable_name: 'c', ack_policy: 'explicit' });
      await expect(
        manager.streams.add({ name: 'large', subjects: ['b'], max_bytes: 20_000_000 }),
      ).rejects.toThrow();
      await on.close();
    }
  });

  onServer('an activation token opens an export to whom it names, and to nobody else', async () => {
    const offering = await ground.account({
      exports: [{ subject: 'news.>', type: 'stream', token_req: true }],
    });
    const importing = await ground.account();
    const token = encodeActivation(
      { importer: importing.key.publicKey, subject: 'news.>', type: 'stream', issuedAt: seconds() },
      offering.key,
    );
    const entry = { subject: 'news.>', account: offering.key.publicKey, type: 'stream' as const };
    await importing.update({ imports: [{ ...entry, token }] });
    const without = await ground.account({ imports: [entry] });
    const [publisher, reader, stranger] = [
      await offering.connect(),
      await importing.connect(),
      await without.connect(),
    ];
    const got: string[] = [];
    for (const [name, connection] of [
      ['reader', reader],
      ['stranger', stranger],
    ] as const)
      connection.subscribe('news.>', { callback: () => void got.push(name) });
    await Promise.all([reader.flush(), stranger.flush()]);
    await eventually(async () => {
      publisher.publish('news.today', 'x');
      await publisher.flush();
      expect(got).toContain('reader');
    });
    await stranger.flush();
    expect(got).not.toContain('stranger');
    await Promise.all([publisher.close(), reader.close(), stranger.close()]);
  });

  onServer(
    'an account may look at itself through the system account’s exports, and at no other',
    async () => {
      const account = await ground.account();
      const other = (await ground.account()).key.publicKey;
      const ask = (of: string) => `$SYS.REQ.ACCOUNT.${of}.CONNZ`;
      const entry = (of: string) => ({
        subject: ask(of),
        account: ground.systemAccount,
        type: 'service' as const,
      });
      await account.update({ imports: [entry(account.key.publicKey), entry(other)] });
      const connection = await account.connect();
      await eventually(async () => {
        const reply = await connection.request(ask(account.key.publicKey), '', { timeout: 1000 });
        expect(reply.json<{ data: { num_connections: number } }>().data.num_connections).toBe(1);
      });
      await expect(connection.request(ask(other), '', { timeout: 500 })).rejects.toThrow();
      await connection.close();
    },
  );
});

interface Shown {
  publish?: { allow?: string[]; deny?: string[] };
  subscribe?: { allow?: string[]; deny?: string[] };
}

const sorted = ({
  allow,
  deny,
}: {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}) => ({
  allow: allow.toSorted(),
  deny: deny.toSorted(),
});

/** What the server says of messages that it did not let through. */
function permissionErrors(connection: NatsConnection): string[] {
  const errors: string[] = [];
  void (async () => {
    for await (const status of connection.status())
      if (status.type === 'error') errors.push(String(status.error.message));
  })();
  return errors;
}
