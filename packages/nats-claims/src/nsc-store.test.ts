import { expect, test } from 'vitest';
import {
  createNkey,
  encodeJwt,
  formatCreds,
  joinAccount,
  type Nkey,
  type NscExport,
  nkeyFromSeed,
  readNscStore,
  wipeSeeds,
  writeNscStore,
} from './index.ts';

const [root, osk, sys, orders, plain, scoped, xkey] = [
  createNkey('operator'),
  createNkey('operator'),
  createNkey('account'),
  createNkey('account'),
  createNkey('account'),
  createNkey('account'),
  createNkey('curve'),
];
const [ann, bob, carl] = [createNkey('user'), createNkey('user'), createNkey('user')];
const operatorJwt = encodeJwt(
  { sub: root.publicKey, name: 'Acme', iat: 10 },
  { type: 'operator', signing_keys: [osk.publicKey], system_account: sys.publicKey, future: 1 },
  root,
);
const ordersNats = {
  type: 'account',
  version: 2,
  limits: { conn: -1, future: 5 },
  exports: [{ subject: 'a', type: 'stream', future: [1] }],
  signing_keys: [
    plain.publicKey,
    { kind: 'user_scope', key: scoped.publicKey, role: 'svc', template: { subs: -1 } },
  ],
  revocations: { '*': 5 },
  future: { deep: true },
};
const ordersJwt = encodeJwt({ sub: orders.publicKey, name: 'Orders', iat: 10 }, ordersNats, osk);
const sysJwt = encodeJwt({ sub: sys.publicKey, name: 'SYS', iat: 10 }, { type: 'account' }, osk);
const userJwt = (user: Nkey, name: string, signer: Nkey, iat = 10) =>
  encodeJwt({ sub: user.publicKey, name, iat }, { type: 'user', issuer_account: orders.publicKey }, signer);
const seedOf = (key: Nkey) => key.seed().toString();
const nk = (key: Nkey) => ({
  path: `keys/keys/${key.publicKey[0]}/${key.publicKey.slice(1, 3)}/${key.publicKey}.nk`,
  content: `${seedOf(key)}\n`,
});
const annJwt = userJwt(ann, 'ann', scoped);
const store = [
  { path: 'stores/any name/.nsc', content: '{"managed":false}' },
  { path: 'stores/any name/Acme.jwt', content: operatorJwt },
  { path: 'stores/any name/accounts/Orders/Orders.jwt', content: `${ordersJwt}\n` },
  { path: 'stores/any name/accounts/SYS/SYS.jwt', content: sysJwt },
  { path: 'stores/any name/accounts/Orders/users/ann.jwt', content: annJwt },
  nk(root),
  nk(scoped),
  nk(ann),
  nk(xkey),
  {
    path: 'keys/creds/Acme/Orders/bob.creds',
    content: formatCreds({ jwt: userJwt(bob, 'bob', plain), seed: seedOf(bob) }),
  },
];

test('a store of any name is read whole, every claim as it was, with the seeds that are there', () => {
  const { operators, seeds, faults, ignored } = readNscStore(store);
  expect(faults).toEqual([]);
  expect(ignored).toEqual(['stores/any name/.nsc']);
  expect(operators).toHaveLength(1);
  const [operator] = operators;
  expect(operator).toMatchObject({
    name: 'Acme',
    publicKey: root.publicKey,
    jwt: operatorJwt,
    signingKeys: [osk.publicKey],
    systemAccount: sys.publicKey,
  });
  const account = operator?.accounts.find(({ name }) => name === 'Orders');
  expect(account?.jwt).toBe(ordersJwt);
  expect(joinAccount(account?.parts ?? { claims: {}, keys: [], revocations: {} })).toEqual(ordersNats);
  expect(account?.users.map(({ name, jwt, issuer }) => ({ name, jwt, issuer }))).toEqual([
    { name: 'ann', jwt: annJwt, issuer: scoped.publicKey },
    { name: 'bob', jwt: expect.any(String), issuer: plain.publicKey },
  ]);
  // Of the operator's signing key, the accounts and the plain key there is no seed; that is no fault.
  expect([...seeds.keys()].sort()).toEqual(
    [root, scoped, ann, xkey, bob].map(({ publicKey }) => publicKey).sort(),
  );
  expect(seeds.get(ann.publicKey)?.toString()).toBe(seedOf(ann));
  wipeSeeds({ seeds });
  expect([...seeds.values()].every((seed) => seed.every((byte) => byte === 0))).toBe(true);
});

test.each([
  '../../etc/x.jwt',
  'stores/../../x.jwt',
  '/etc/x.jwt',
  'C:\\x.jwt',
  'c:/x.jwt',
  'stores\\x.jwt',
  'stores//x.jwt',
  './x.jwt',
  'stores/./x.jwt',
  'stores/x\0.jwt',
  'stores/x\n.jwt',
  'stores/\ud800.jwt',
  '',
  `${'a/'.repeat(40)}x.jwt`,
  `${'a'.repeat(2000)}.jwt`,
])('the path %j is not followed, and said so', (path) => {
  const { operators, faults } = readNscStore([{ path, content: operatorJwt }]);
  expect(operators).toEqual([]);
  expect(faults).toMatchObject([{ kept: false }]);
});

test('of two files whose paths differ by case only, the second is not read', () => {
  const { faults, seeds } = readNscStore([
    nk(ann),
    { ...nk(bob), path: nk(ann).path.toUpperCase().replace(/NK$/, 'nk') },
  ]);
  expect(faults).toHaveLength(1);
  expect([...seeds.keys()]).toEqual([ann.publicKey]);
});

test.each<[string, string, string]>([
  ['a JWT that is none', 'x.jwt', 'hello'],
  ['a JWT whose signature is wrong', 'x.jwt', `${operatorJwt.slice(0, -3)}AAA`],
  [
    'a JWT of another type',
    'x.jwt',
    encodeJwt({ sub: orders.publicKey, iat: 1 }, { type: 'activation' }, orders),
  ],
  [
    'an operator whose subject is an account',
    'x.jwt',
    encodeJwt({ sub: orders.publicKey, iat: 1 }, { type: 'operator' }, root),
  ],
  ['a seed that is none', 'x.nk', 'SUABC'],
  ['creds that are none', 'x.creds', '-'.repeat(1000)],
  ['a file that is too large', 'x.jwt', 'x'.repeat(2_000_000)],
  [
    'a user without account',
    'x.jwt',
    encodeJwt({ sub: ann.publicKey, iat: 1 }, { type: 'user' }, createNkey('account')),
  ],
])('%s is named by its path, and the rest is read', (_name, path, content) => {
  const { operators, faults } = readNscStore([...store, { path, content }]);
  expect(operators[0]?.accounts).toHaveLength(2);
  expect(faults).toMatchObject([{ path, kept: false }]);
  expect(JSON.stringify(faults)).not.toContain(content.slice(0, 30));
});

test('what is odd but kept is said too', () => {
  const stranger = createNkey('operator');
  const lost = encodeJwt(
    { sub: carl.publicKey, name: 'carl', iat: 10 },
    { type: 'user', issuer_account: orders.publicKey },
    createNkey('account'),
  );
  const selfSigned = encodeJwt({ sub: plain.publicKey, name: 'Own', iat: 1 }, { type: 'account' }, stranger);
  const { operators, faults } = readNscStore([
    ...store,
    { path: 'stores/any name/accounts/Orders/users/carl.jwt', content: lost },
    { path: 'stores/any name/accounts/Own/Own.jwt', content: selfSigned },
    // A folder that no key has: with a name that some have, this would now and then be ann's own file.
    { path: `keys/keys/U/__/${ann.publicKey}.nk`, content: seedOf(carl) },
  ]);
  expect(operators[0]?.accounts).toHaveLength(3);
  expect(faults.map(({ kept }) => kept)).toEqual([true, true, true]);
});

test('of two JWTs of one key the newer counts', () => {
  const older = userJwt(ann, 'old', scoped, 5);
  for (const files of [
    [...store, { path: 'old.jwt', content: older }],
    [{ path: 'old.jwt', content: older }, ...store],
  ]) {
    const { operators, faults } = readNscStore(files);
    expect(
      operators[0]?.accounts
        .flatMap(({ users }) => users)
        .find(({ publicKey }) => publicKey === ann.publicKey)?.name,
    ).toBe('ann');
    expect(faults).toMatchObject([{ path: 'old.jwt', kept: false }]);
  }
});

test('two operators each get their own accounts', () => {
  const [other, theirs] = [createNkey('operator'), createNkey('account')];
  const { operators, faults } = readNscStore([
    ...store,
    {
      path: 'stores/B/B.jwt',
      content: encodeJwt({ sub: other.publicKey, name: 'B', iat: 1 }, { type: 'operator' }, other),
    },
    {
      path: 'stores/B/accounts/T/T.jwt',
      content: encodeJwt({ sub: theirs.publicKey, name: 'T', iat: 1 }, { type: 'account' }, other),
    },
  ]);
  expect(faults).toEqual([]);
  expect(operators.map(({ name, accounts }) => [name, accounts.map((account) => account.name)])).toEqual([
    ['Acme', ['Orders', 'SYS']],
    ['B', ['T']],
  ]);
});

const exported: NscExport = {
  operator: { name: 'Acme', publicKey: root.publicKey, jwt: operatorJwt },
  accounts: [
    {
      name: 'Orders',
      publicKey: orders.publicKey,
      jwt: ordersJwt,
      users: [{ name: 'ann', publicKey: ann.publicKey, jwt: annJwt }],
    },
  ],
  seeds: [root, orders, ann, scoped].map((key) => key.seed()),
};

test('what is written is laid out as nsc does it, and read back the same', () => {
  const files = writeNscStore(exported);
  expect(files.map(({ path }) => path)).toEqual([
    'stores/Acme/.nsc',
    'stores/Acme/Acme.jwt',
    'stores/Acme/accounts/Orders/Orders.jwt',
    'stores/Acme/accounts/Orders/users/ann.jwt',
    'keys/creds/Acme/Orders/ann.creds',
    ...[root, orders, ann, scoped].map((key) => nk(key).path),
  ]);
  expect(JSON.parse(files[0]?.content ?? '')).toEqual({
    managed: false,
    name: 'Acme',
    kind: 'operator',
    version: '1',
  });
  expect(files.every(({ mode }) => mode === 0o600)).toBe(true);
  const { operators, seeds, faults } = readNscStore(files);
  expect(faults).toEqual([]);
  expect(operators[0]?.jwt).toBe(operatorJwt);
  expect(operators[0]?.accounts[0]?.users[0]?.jwt).toBe(annJwt);
  expect([...seeds.keys()].sort()).toEqual(
    [root, orders, ann, scoped].map(({ publicKey }) => publicKey).sort(),
  );
});

test('without seeds no secret is written', () => {
  const { seeds: _, ...without } = exported;
  const text = JSON.stringify(writeNscStore(without));
  for (const key of [root, orders, ann]) expect(text).not.toContain(seedOf(key));
  expect(text).toContain('\\"managed\\":true');
});

const names = [
  '..',
  '.',
  '',
  ' ',
  '../../x',
  'a/b',
  'a\\b',
  'a:b',
  '.hidden',
  '-rf',
  'dots.in.it',
  'with space',
  '$HOME',
  '$SYS',
  'con',
  'COM1.x',
  'a\0b',
  'a\nb',
  '\ud800',
  '%2E%2E',
  'x~y',
  'ü',
  'end.',
  'n'.repeat(300),
  'Same',
  'same',
  'SAME',
  '*',
  '日本',
];
test('names of any kind become safe and distinct names of files, and come back from the JWTs', () => {
  const accounts = names.map((name) => {
    const key = createNkey('account');
    const jwt = encodeJwt({ sub: key.publicKey, name, iat: 1 }, { type: 'account' }, osk);
    const user = createNkey('user');
    const users = [
      {
        name,
        publicKey: user.publicKey,
        jwt: encodeJwt({ sub: user.publicKey, name, iat: 1 }, { type: 'user' }, key),
      },
    ];
    return { name, publicKey: key.publicKey, jwt, users };
  });
  const files = writeNscStore({ operator: { ...exported.operator, name: '../up' }, accounts });
  const paths = files.map(({ path }) => path);
  expect(new Set(paths.map((path) => path.toLowerCase())).size).toBe(paths.length);
  for (const path of paths) {
    expect(path.length).toBeLessThan(600);
    for (const part of path.split('/'))
      expect(part).toMatch(/^(?!\.\.?$|-|\s)[\p{L}\p{N}\p{M}_$@+=,()%~. -]+(?<![ .])$/u);
  }
  const { operators, faults } = readNscStore(files);
  expect(faults).toEqual([]);
  expect(operators[0]?.accounts.map(({ jwt }) => jwt)).toEqual(accounts.map(({ jwt }) => jwt));
  expect(operators[0]?.accounts.every(({ users }) => users.length === 1)).toBe(true);
});

test('a plain name stays as it is', () => {
  for (const name of ['dots.in.it', 'with space', '$SYS', 'ü']) {
    const files = writeNscStore({
      ...exported,
      accounts: [{ ...(exported.accounts[0] as (typeof exported.accounts)[0]), name }],
    });
    expect(files[2]?.path).toBe(`stores/Acme/accounts/${name}/${name}.jwt`);
  }
});

test('the seed that a file holds is the one that its key tells', () => {
  for (const { path, content } of writeNscStore(exported).filter((file) => file.path.endsWith('.nk')))
    expect(path).toContain(nkeyFromSeed(content).publicKey);
});
