import { eventually } from '@gatehouse/kit/testing';
import {
  type AccountClaims,
  createNkey,
  encodeActivation,
  parseCreds,
  previewTemplate,
  type RoleTemplate,
  type UserClaims,
  validateAccountClaims,
  validateRoleTemplate,
  validateUserClaims,
} from '@gatehouse/nats-claims';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, jwtAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ServerGround, serverVersions, startServerGround } from './server-ground.ts';

const [exporter, user] = [createNkey('account').publicKey, createNkey('user').publicKey];
const service = (more: object) => ({ account: exporter, type: 'service', ...more });
const stream = (more: object) => ({ account: exporter, type: 'stream', ...more });

/** Claims that servers of both versions take. */
const fine: [string, unknown][] = [
  ['nothing but limits', {}],
  ['a field nobody knows', { future: { a: 1 } }],
  [
    'a service with latency by headers',
    { exports: [{ subject: 'a', type: 'service', service_latency: { sampling: 'headers', results: 'l' } }] },
  ],
  ['an account token', { exports: [{ subject: 'a.*', type: 'stream', account_token_position: 2 }] }],
  ['a renamed import', { imports: [stream({ subject: 'a.*.*', local_subject: 'b.$2.$1' })] }],
  [
    'mappings',
    {
      mappings: {
        'a.*': [
          { subject: 'b.$1', weight: 50 },
          { subject: 'c.{{wildcard(1)}}', weight: 50 },
        ],
      },
    },
  ],
  ['cluster traffic', { cluster_traffic: 'owner' }],
  ['a queue in sub', { default_permissions: { sub: { allow: ['a q', '>'] } } }],
];

/** Claims that servers of both versions refuse, at the push or at the first sign-in. */
const refused: [string, unknown][] = [
  ['a limit below -1', { limits: { conn: -2 } }],
  [
    'an export in another',
    {
      exports: [
        { subject: 'a.>', type: 'stream' },
        { subject: 'a.b', type: 'stream' },
      ],
    },
  ],
  ['an export without subject', { exports: [{ type: 'stream' }] }],
  ['a response type of a stream', { exports: [{ subject: 'a', type: 'stream', response_type: 'Stream' }] }],
  ['a threshold of a stream', { exports: [{ subject: 'a', type: 'stream', response_threshold: 5 }] }],
  [
    'latency of a stream',
    { exports: [{ subject: 'a', type: 'stream', service_latency: { sampling: 1, results: 'l' } }] },
  ],
  [
    'latency beyond 100',
    { exports: [{ subject: 'a', type: 'service', service_latency: { sampling: 101, results: 'l' } }] },
  ],
  [
    'latency to a wildcard',
    { exports: [{ subject: 'a', type: 'service', service_latency: { sampling: 1, results: 'l.*' } }] },
  ],
  ['trace of a stream export', { exports: [{ subject: 'a', type: 'stream', allow_trace: true }] }],
  [
    'an account token that is no wildcard',
    { exports: [{ subject: 'a.*', type: 'stream', account_token_position: 1 }] },
  ],
  ['more exports than allowed', { limits: { exports: 0 }, exports: [{ subject: 'a', type: 'stream' }] }],
  [
    'a wildcard that is not allowed',
    { limits: { exports: 5, wildcards: false }, exports: [{ subject: 'a.*', type: 'stream' }] },
  ],
  ['a long description', { description: 'x'.repeat(8193) }],
  ['an address without host', { info_url: 'mailto:x' }],
  ['an import from nobody', { imports: [{ subject: 'a', type: 'stream' }] }],
  ['sharing of a stream', { imports: [stream({ subject: 'a', share: true })] }],
  ['trace of a service import', { imports: [service({ subject: 'a', allow_trace: true })] }],
  ['a local subject and to', { imports: [stream({ subject: 'a', to: 'b', local_subject: 'c' })] }],
  ['too few wildcards', { imports: [stream({ subject: 'a.*.*', local_subject: 'b.$1' })] }],
  [
    'overlapping services of one exporter',
    { imports: [service({ subject: 'a.*' }), service({ subject: 'a.b' })] },
  ],
  ['more imports than allowed', { limits: { imports: 0 }, imports: [stream({ subject: 'a' })] }],
  ['a token that is none', { imports: [stream({ subject: 'a', token: 'x.y.z' })] }],
  [
    'mappings over 100',
    {
      mappings: {
        a: [
          { subject: 'b', weight: 60 },
          { subject: 'c', weight: 60 },
        ],
      },
    },
  ],
  [
    'mappings of a cluster over 100',
    {
      mappings: {
        a: [
          { subject: 'b', weight: 60, cluster: 'e' },
          { subject: 'c', weight: 60, cluster: 'e' },
        ],
      },
    },
  ],
  ['callout accounts without users', { authorization: { allowed_accounts: [exporter] } }],
  ['* beside accounts', { authorization: { auth_users: [user], allowed_accounts: [exporter, '*'] } }],
  ['trace to a wildcard', { trace: { dest: 'a.>' } }],
  ['trace beyond 100', { trace: { dest: 'a', sampling: 101 } }],
  ['other cluster traffic', { cluster_traffic: 'both' }],
  ['a queue in pub', { default_permissions: { pub: { allow: ['a q'] } } }],
  ['too many spaces', { default_permissions: { sub: { deny: ['a b c'] } } }],
];

const userFine: [string, UserClaims][] = [
  ['nothing but limits', {}],
  ['its network', { src: ['127.0.0.0/8'] }],
  [
    'all day in Calcutta',
    { times: [{ start: '00:00:00', end: '23:59:59' }], times_location: 'Asia/Calcutta' },
  ],
  ['its connection type', { allowed_connection_types: ['STANDARD', 'WEBSOCKET'] }],
];
const userRefused: [string, unknown][] = [
  ['a subject with a space', { pub: { allow: ['a b'] } }],
  ['two dots', { pub: { allow: ['a..b'] } }],
  ['an address for a network', { src: ['127.0.0.1'] }],
  ['an octet with a zero before it', { src: ['127.00.0.0/8'] }],
  ['hour 24', { times: [{ start: '00:00:00', end: '24:00:00' }] }],
  [
    'a place that is nowhere',
    { times: [{ start: '00:00:00', end: '23:59:59' }], times_location: 'Mars/Olympus' },
  ],
  [
    'a place in another case',
    { times: [{ start: '00:00:00', end: '23:59:59' }], times_location: 'europe/madrid' },
  ],
  ['no type that is known', { allowed_connection_types: ['QUIC'] }],
];

const seconds = () => Math.floor(Date.now() / 1000);

describe.each(serverVersions)('nats-server $version', ({ binary }) => {
  let ground: ServerGround;
  beforeAll(async () => {
    if (binary) ground = await startServerGround(binary);
  });
  afterAll(() => ground?.close());
  const onServer = test.skipIf(binary === undefined);

  /** Whether the account is taken, and a user of it gets in. */
  async function takes(claims: unknown): Promise<boolean> {
    try {
      return await (await ground.account(claims as AccountClaims)).admits();
    } catch (error) {
      expect(String(error)).toContain('validation');
      return false;
    }
  }

  onServer.each(fine)('takes, as the rules say: %s', async (_name, claims) => {
    expect(validateAccountClaims(claims as AccountClaims)).toEqual([]);
    expect(await takes(claims)).toBe(true);
  });

  onServer.each(refused)('refuses, as the rules say: %s', async (_name, claims) => {
    expect(validateAccountClaims(claims as AccountClaims)).not.toEqual([]);
    expect(await takes(claims)).toBe(false);
  });

  onServer.each(userFine)('lets a user in, as the rules say, with %s', async (_name, claims) => {
    expect(validateUserClaims(claims, { scoped: false })).toEqual([]);
    expect(await (await ground.account()).admits(claims)).toBe(true);
  });

  onServer.each(userRefused)('keeps a user out, as the rules say, with %s', async (_name, claims) => {
    expect(validateUserClaims(claims as UserClaims, { scoped: false })).not.toEqual([]);
    expect(await (await ground.account()).admits(claims as UserClaims)).toBe(false);
  });

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
