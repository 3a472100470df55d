import { createNkey, encodeJwt, type Nkey, type NkeyKind } from '@gatehouse/nats-claims';

/** A file of a store. */
export interface TestFile {
  readonly path: string;
  readonly content: string;
}

/** A store as nsc lays it out, with everything that makes an import hard. */
export interface TestStore {
  readonly name: string;
  readonly files: TestFile[];
  readonly keys: Readonly<Record<KeyName, Nkey>>;
  /** JWTs by the name of their key. */
  readonly jwts: Readonly<Partial<Record<KeyName, string>>>;
  /** Every seed in the files. */
  readonly seeds: readonly string[];
}

type KeyName = keyof typeof kinds;
const kinds = {
  root: 'operator',
  signing: 'operator',
  sys: 'account',
  orders: 'account',
  plain: 'account',
  worker: 'account',
  nameless: 'account',
  /** An account of which nobody here has a seed. */
  far: 'account',
  printer: 'user',
  probe: 'user',
  own: 'user',
  stolen: 'user',
  bearer: 'user',
} as const satisfies Record<string, NkeyKind>;

/** Nobody has these private keys. */
const withoutSeed: ReadonlySet<KeyName> = new Set(['far', 'own']);

const unlimited = { subs: -1, data: -1, payload: -1 };
const limits = { ...unlimited, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };

/** Makes a store; `name` of its operator. */
export function makeStore(name = `op-${createNkey('user').publicKey.slice(1, 9)}`): TestStore {
  const keys = Object.fromEntries(
    Object.entries(kinds).map(([key, kind]) => [key, createNkey(kind)]),
  ) as TestStore['keys'];
  const jwts = jwtsOf(name, keys);
  const root = `stores/${name}`;
  const user = (one: KeyName) => ({
    path: `${root}/accounts/orders/users/${one}.jwt`,
    content: jwts[one] ?? '',
  });
  const nk = Object.entries(keys).filter(([key]) => !withoutSeed.has(key as KeyName));
  const seeds = nk.map(([, key]) => key.seed().toString());
  return {
    name,
    keys,
    jwts,
    seeds,
    files: [
      { path: `${root}/.nsc`, content: '{"managed":false}' },
      { path: `${root}/${name}.jwt`, content: jwts.root ?? '' },
      { path: `${root}/accounts/SYS/SYS.jwt`, content: jwts.sys ?? '' },
      { path: `${root}/accounts/orders/orders.jwt`, content: `${jwts.orders}\n` },
      { path: `${root}/accounts/far/far.jwt`, content: jwts.far ?? '' },
      ...(['printer', 'probe', 'own', 'stolen', 'bearer'] as const).map(user),
      ...nk.map(([, key], at) => ({
        path: `keys/keys/${key.publicKey[0]}/${key.publicKey.slice(1, 3)}/${key.publicKey}.nk`,
        content: seeds[at] ?? '',
      })),
    ],
  };
}

function jwtsOf(name: string, keys: TestStore['keys']): TestStore['jwts'] {
  const iat = Math.floor(Date.now() / 1000) - 1_000;
  const { root, signing, sys, orders, plain, worker, nameless, far } = keys;
  const account = (key: Nkey, about: string, nats: Record<string, unknown>) =>
    encodeJwt({ sub: key.publicKey, name: about, iat }, { type: 'account', ...nats }, signing);
  const issuer_account = orders.publicKey;
  const user = (key: Nkey, about: { name: string; exp?: number }, nats: object, signer: Nkey) =>
    encodeJwt({ sub: key.publicKey, iat, ...about }, { type: 'user', issuer_account, ...nats }, signer);
  return {
    root: encodeJwt(
      { sub: root.publicKey, name, iat },
      {
        type: 'operator',
        signing_keys: [signing.publicKey],
        system_account: sys.publicKey,
        strict_signing_key_usage: true,
        operator_service_urls: ['nats://example.com:4222'],
        x_of_the_future: { kept: [1, 'two'] },
      },
      root,
    ),
    sys: account(sys, 'SYS', { limits }),
    far: account(far, 'far', { limits: { ...limits, conn: 3 } }),
    orders: account(orders, 'orders', {
      limits: { ...limits, disk_storage: 1_000_000 },
      exports: [{ subject: 'stock.>', type: 'stream', x_unknown: true }],
      imports: [{ subject: 'far.>', account: far.publicKey, type: 'stream', local_subject: 'from.far.>' }],
      mappings: { a: [{ subject: 'b', weight: 100 }] },
      default_permissions: { pub: { deny: ['secret.>'] } },
      x_of_the_future: { kept: true },
      signing_keys: [
        plain.publicKey,
        {
          kind: 'user_scope',
          key: worker.publicKey,
          role: 'worker',
          x_scope: 1,
          template: { ...unlimited, pub: { allow: ['orders.{{name()}}'] } },
        },
        { kind: 'user_scope', key: nameless.publicKey, role: '', template: unlimited },
      ],
      revocations: { [keys.stolen.publicKey]: iat + 5, [createNkey('user').publicKey]: iat },
    }),
    printer: user(keys.printer, { name: 'printer' }, { tags: ['floor:2'] }, worker),
    probe: user(
      keys.probe,
      { name: 'probe', exp: iat + 86_400 },
      { ...unlimited, sub: { deny: ['>'] }, x_user: 'kept' },
      plain,
    ),
    own: user(keys.own, { name: 'own' }, unlimited, plain),
    stolen: user(keys.stolen, { name: 'stolen' }, unlimited, plain),
    bearer: user(
      keys.bearer,
      { name: 'bearer', exp: iat + 90_000 },
      { ...unlimited, bearer_token: true },
      plain,
    ),
  };
}
