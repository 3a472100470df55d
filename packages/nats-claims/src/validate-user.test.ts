import { expect, test } from 'vitest';
import {
  createNkey,
  type OperatorClaims,
  type RoleTemplate,
  type UserClaims,
  validateOperatorClaims,
  validateRoleTemplate,
  validateUserClaims,
} from './index.ts';

const pathsOf = (claims: unknown, scoped = false) =>
  validateUserClaims(claims as UserClaims, { scoped }).map(({ path }) => path);

test.each<[string, unknown]>([
  ['nothing', {}],
  [
    'everything',
    {
      pub: { allow: ['a.>'], deny: ['a.b'] },
      sub: { allow: ['x', 'y q', '_INBOX.>'] },
      resp: { max: 1, ttl: 0 },
      src: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.1/32'],
      times: [
        { start: '08:00:00', end: '18:00:00' },
        { start: '22:00:00', end: '02:00:00' },
      ],
      times_location: 'Europe/Madrid',
      subs: -1,
      data: 5,
      payload: 1024,
      bearer_token: true,
      allowed_connection_types: ['STANDARD', 'MQTT'],
      tags: ['a', 'k:V'],
    },
  ],
  ['an alias of a time zone', { times_location: 'Asia/Calcutta' }],
  ['UTC', { times_location: 'UTC' }],
  ['networks in one text, as old tools wrote them', { src: '10.0.0.0/8,192.0.2.0/24' }],
  [
    'a type that only newer servers know, beside one that all do',
    { allowed_connection_types: ['STANDARD', 'QUIC'] },
  ],
])('a user with %s is fine', (_name, claims) => {
  expect(pathsOf(claims)).toEqual([]);
});

test.each<[string, unknown, string]>([
  ['a subject with a space', { pub: { allow: ['ok', 'a b'] } }, 'pub.allow[1]'],
  ['an empty subject', { sub: { deny: [''] } }, 'sub.deny[0]'],
  ['two dots', { pub: { allow: ['a..b'] } }, 'pub.allow[0]'],
  ['> in the middle', { pub: { allow: ['a.>.b'] } }, 'pub.allow[0]'],
  ['a tab', { pub: { allow: ['a\tb'] } }, 'pub.allow[0]'],
  ['NUL', { pub: { allow: ['a\0'] } }, 'pub.allow[0]'],
  ['a lone surrogate', { pub: { allow: ['a\ud800'] } }, 'pub.allow[0]'],
  ['an empty queue', { sub: { allow: ['a '] } }, 'sub.allow[0]'],
  ['an address for a network', { src: ['10.0.0.1'] }, 'src[0]'],
  ['too many bits', { src: ['10.0.0.0/33'] }, 'src[0]'],
  ['an octet with a zero before it', { src: ['10.00.0.0/8'] }, 'src[0]'],
  ['a zone in an address', { src: ['fe80::1%eth0/64'] }, 'src[0]'],
  ['one bad network in a text', { src: '10.0.0.0/8,x' }, 'src[1]'],
  ['no time', { times: [{ start: '', end: '18:00:00' }] }, 'times[0].start'],
  ['hour 24', { times: [{ start: '08:00:00', end: '24:00:00' }] }, 'times[0].end'],
  ['no end', { times: [{ start: '08:00:00' }] }, 'times[0].end'],
  ['a place that is nowhere', { times_location: 'Mars/Olympus' }, 'times_location'],
  ['an offset', { times_location: '+01:00' }, 'times_location'],
  ['another case, which servers do not find', { times_location: 'europe/madrid' }, 'times_location'],
  ['a path', { times_location: '../../etc/passwd' }, 'times_location'],
  ['no type that is known', { allowed_connection_types: ['QUIC'] }, 'allowed_connection_types'],
  ['a limit below -1', { payload: -2 }, 'payload'],
  ['half a reply', { resp: { max: 0.5, ttl: 0 } }, 'resp.max'],
  ['a tag with a space before it', { tags: [' a'] }, 'tags[0]'],
])('a user with %s has a fault, named by its path', (_name, claims, path) => {
  expect(pathsOf(claims)).toEqual([path]);
});

test('a user with a role has nothing but tags, not even an empty list', () => {
  expect(pathsOf({ tags: ['a'], pub: {}, sub: {} }, true)).toEqual([]);
  expect(pathsOf({ subs: -1, src: [], bearer_token: false, pub: { allow: [] } }, true)).toEqual([
    'subs',
    'src',
    'bearer_token',
    'pub',
  ]);
});

const rolePaths = (template: unknown) =>
  validateRoleTemplate(template as RoleTemplate).map(({ path }) => path);

test('the functions of a template are whole tokens that servers know', () => {
  const allow = [
    '{{name()}}.a',
    'a.{{subject()}}.{{account-name()}}.{{account-subject()}}',
    '{{tag(region)}}.>',
    '{{account-tag(Dept)}}.{{tag(dept)}}.{{name()}}.{{name()}}',
  ];
  expect(rolePaths({ pub: { allow }, sub: { allow: ['{{name()}}.x', 'a queue'] } })).toEqual([]);
  for (const wrong of [
    '{{user()}}',
    'a{{name()}}',
    '{{name()',
    'name()}}',
    '{{tag()}}',
    '{{tag(a)(b)}}',
    '{{}}',
    'a.{{ name() }}',
  ])
    expect(rolePaths({ pub: { allow: [wrong] } }), wrong).toEqual(['pub.allow[0]']);
  expect(rolePaths({ sub: { allow: ['{{name()}}.x queue'] } })).toEqual(['sub.allow[0]']);
  expect(rolePaths({ tags: ['x'], subs: -3, pub: { allow: ['{{name()}}..a'] } })).toEqual([
    'pub.allow[0]',
    'subs',
    'tags',
  ]);
});

test.each<unknown>([null, 5, 'x', [], { pub: 5, sub: [], resp: null, src: {}, times: [null, 5], tags: 5 }])(
  'JSON of any shape is judged, never thrown at (%#)',
  (claims) => {
    expect(Array.isArray(pathsOf(claims))).toBe(true);
    expect(Array.isArray(pathsOf(claims, true))).toBe(true);
    expect(Array.isArray(rolePaths(claims))).toBe(true);
    expect(Array.isArray(validateOperatorClaims(claims as OperatorClaims))).toBe(true);
  },
);

const operatorPaths = (claims: unknown) =>
  validateOperatorClaims(claims as OperatorClaims).map(({ path }) => path);

test('an operator’s addresses have a scheme that servers speak, no user and no path', () => {
  expect(
    operatorPaths({
      account_server_url: 'nats://host:4222',
      operator_service_urls: ['nats://a:4222', 'tls://b', 'ws://c:80', 'WSS://d', 'nats://[::1]:4222'],
      assert_server_version: '2.10.0',
      tags: ['x'],
    }),
  ).toEqual([]);
  const bad = [
    'http://a',
    'nats://user:pw@a',
    'nats://a/path',
    'nats://a/',
    'a:4222',
    'nats://',
    '',
    'nats://a?x=1',
  ];
  expect(operatorPaths({ operator_service_urls: bad })).toEqual(
    bad.map((_, at) => `operator_service_urls[${at}]`),
  );
  expect(
    JSON.stringify(validateOperatorClaims({ operator_service_urls: ['nats://u:secret@a'] })),
  ).not.toContain('secret');
  expect(operatorPaths({ account_server_url: 'host' })).toEqual(['account_server_url']);
  expect(operatorPaths({ assert_server_version: '2.10' })).toEqual(['assert_server_version']);
  const user = createNkey('user').publicKey;
  expect(operatorPaths({ signing_keys: [user], system_account: user })).toEqual([
    'signing_keys[0]',
    'system_account',
  ]);
});
