import { expect, test } from 'vitest';
import { createNkey, decodeJwt, encodeJwt, JwtError, jwtHash, nextIat } from './index.ts';

const operator = createNkey('operator');
const account = createNkey('account');
const b64 = (text: string | Uint8Array) => Buffer.from(text).toString('base64url');

/** A JWT of any text, signed as told: what a stranger may hand in. */
function rawJwt(body: string, { header = '{"typ":"JWT","alg":"ed25519-nkey"}', bodyOnly = false } = {}) {
  const signed = `${b64(header)}.${b64(body)}`;
  return `${signed}.${operator.sign(bodyOnly ? b64(body) : signed).toString('base64url')}`;
}
const withNats = (nats: string, more = '') =>
  `{"iss":"${operator.publicKey}","sub":"${account.publicKey}","iat":1${more},"nats":${nats}}`;

test('what is written is read back, with every field, known or not', () => {
  const nats = { limits: { conn: -1 }, unknown: { deep: [1, null, 'x'] }, type: 'account' };
  const jwt = encodeJwt(
    { sub: account.publicKey, name: 'a "b" ü', iat: 7, exp: 9, nbf: 8, aud: 'x' },
    nats,
    operator,
  );
  expect(decodeJwt(jwt)).toMatchObject({
    sub: account.publicKey,
    iss: operator.publicKey,
    name: 'a "b" ü',
    iat: 7,
    exp: 9,
    nbf: 8,
    aud: 'x',
    version: 2,
    nats: { ...nats, version: 2 },
  });
  expect(jwt.split('.')[0]).toBe(b64('{"typ":"JWT","alg":"ed25519-nkey"}'));
  expect(jwtHash(jwt)).toHaveLength(32);
});

test('two JWTs of the same body differ: a server that missed one notices by the jti', () => {
  const make = () => encodeJwt({ sub: account.publicKey, iat: 7 }, { type: 'account' }, operator);
  expect(decodeJwt(make()).jti).not.toBe(decodeJwt(make()).jti);
});

test('iat always rises, in one second and when the clock goes back', () => {
  expect(nextIat(100, 200)).toBe(200);
  expect(nextIat(200, 200)).toBe(201);
  expect(nextIat(300, 200)).toBe(301);
});

test('the old form is read, its type and tags with it', () => {
  const body = withNats('{"limits":{"conn":-1}}', ',"type":"account","tags":["x"]');
  const jwt = rawJwt(body, { header: '{"typ":"jwt","alg":"ed25519"}', bodyOnly: true });
  expect(decodeJwt(jwt)).toMatchObject({
    version: 1,
    nats: { limits: { conn: -1 }, type: 'account', tags: ['x'] },
  });
});

test('a signature over something else is refused', () => {
  const [head, , signature] = rawJwt(withNats('{}')).split('.');
  expect(() => decodeJwt(`${head}.${b64(withNats('{"limits":{"conn":-1}}'))}.${signature}`)).toThrow(
    JwtError,
  );
  // The old form’s signature does not count for the new header.
  expect(() => decodeJwt(rawJwt(withNats('{}'), { bodyOnly: true }))).toThrow(JwtError);
  expect(() => decodeJwt(rawJwt(withNats('{}'), { header: '{"typ":"JWT","alg":"none"}' }))).toThrow(JwtError);
  expect(() => decodeJwt(rawJwt(withNats('{}'), { header: '{"typ":"JWT","alg":"HS256"}' }))).toThrow(
    JwtError,
  );
});

test.each(['9007199254740993', '9223372036854775807', '-9007199254740993', '1e400', '12345678901234567.5'])(
  'a number that would come out changed (%s) is named, never kept wrong',
  (number) => {
    expect(() => decodeJwt(rawJwt(withNats(`{"limits":{"disk_storage":${number}}}`)))).toThrow(/too large/);
  },
);

test.each(['9007199254740991', '-1', '1e3', '0.5', '"9223372036854775807"'])(
  '%s is kept as it is',
  (value) => {
    expect(decodeJwt(rawJwt(withNats(`{"x":${value}}`))).nats.x).toBe(JSON.parse(value));
  },
);

const good = rawJwt(withNats('{}'));
test.each([
  ['nothing', ''],
  ['two parts', good.split('.').slice(0, 2).join('.')],
  ['four parts', `${good}.x`],
  ['another alphabet', `${good.slice(0, -2)}+/`],
  ['rubbish after it', `${good} x`],
  ['a list', rawJwt('[]')],
  ['no nats section', rawJwt(`{"iss":"${operator.publicKey}","sub":"${account.publicKey}","iat":1}`)],
  ['a nats section that is a list', rawJwt(withNats('[]'))],
  ['a subject that is no key', rawJwt(`{"iss":"${operator.publicKey}","sub":"x","iat":1,"nats":{}}`)],
  ['an issuer that is no key', rawJwt(`{"iss":"x","sub":"${account.publicKey}","iat":1,"nats":{}}`)],
  [
    'a time that is a text',
    rawJwt(`{"iss":"${operator.publicKey}","sub":"${account.publicKey}","iat":"1","nats":{}}`),
  ],
  ['an expiry that is none', rawJwt(withNats('{}', ',"exp":"soon"'))],
  ['a negative expiry', rawJwt(withNats('{}', ',"exp":-5'))],
  ['deep nesting', rawJwt(withNats(`{"x":${'['.repeat(100)}${']'.repeat(100)}}`))],
  ['very deep nesting', rawJwt(withNats(`{"x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`))],
  ['two megabytes', 'a'.repeat(2 ** 21)],
])('%s is refused with a named error that does not hold the text', (_name, text) => {
  expect(() => decodeJwt(text)).toThrow(JwtError);
});

test('bytes that are no UTF-8 are refused, not replaced', () => {
  const body = Buffer.concat([Buffer.from('{"iss":"x'), Buffer.of(0xff), Buffer.from('"}')]);
  expect(() => decodeJwt(`${good.split('.')[0]}.${b64(body)}.x`)).toThrow(JwtError);
});

test('a member named __proto__ stays a member, and nothing else gets it', () => {
  const { nats } = decodeJwt(rawJwt(withNats('{"__proto__":{"polluted":1}}')));
  expect(Object.hasOwn(nats, '__proto__')).toBe(true);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  const again = decodeJwt(encodeJwt({ sub: account.publicKey, iat: 1 }, nats, operator));
  expect(Object.getOwnPropertyDescriptor(again.nats, '__proto__')?.value).toEqual({ polluted: 1 });
});

test('signing is node:crypto’s: far beyond what JavaScript alone could (177 a second)', () => {
  const count = 500;
  const before = process.cpuUsage();
  for (let index = 0; index < count; index += 1)
    encodeJwt({ sub: account.publicKey, iat: 1 }, { type: 'account' }, operator);
  expect((count * 1_000_000) / process.cpuUsage(before).user).toBeGreaterThan(1000);
});
