import { expect, test } from 'vitest';
import { createNkey, diffClaims, encodeJwt, formatCreds, NkeyError, parseCreds } from './index.ts';

const [account, user] = [createNkey('account'), createNkey('user')];
const jwt = encodeJwt({ sub: user.publicKey, name: 'u', iat: 1 }, { type: 'user' }, account);
const seed = user.seed().toString();

test('the file is the one that every client reads, to the byte', () => {
  expect(formatCreds({ jwt, seed })).toBe(
    `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n\n` +
      '************************* IMPORTANT *************************\n' +
      'NKEY Seed printed below can be used to sign and prove identity.\n' +
      'NKEYs are sensitive and should be treated as secrets.\n\n' +
      `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n\n` +
      '*************************************************************\n',
  );
  expect(parseCreds(formatCreds({ jwt, seed }))).toEqual({ jwt, seed });
  expect(parseCreds(formatCreds({ jwt, seed }).replaceAll('\n', '\r\n'))).toEqual({ jwt, seed });
});

test('a seed that is not the JWT’s, or not a user’s, makes no file', () => {
  expect(() => formatCreds({ jwt, seed: createNkey('user').seed().toString() })).toThrow(NkeyError);
  expect(() => formatCreds({ jwt, seed: account.seed().toString() })).toThrow(NkeyError);
  expect(() => formatCreds({ jwt: `${jwt}\n-----`, seed })).toThrow(NkeyError);
  expect(() => formatCreds({ jwt: 'a.b.c', seed })).toThrow(NkeyError);
});

test.each([
  ['nothing', ''],
  ['the JWT only', formatCreds({ jwt, seed }).split('\n').slice(0, 4).join('\n')],
  ['dashes without end', '-'.repeat(60_000)],
  ['lines of dashes', '---\n'.repeat(15_000)],
  ['more than a file of creds ever has', `${formatCreds({ jwt, seed })}${' '.repeat(70_000)}`],
])('%s is no file of credentials, and is told so at once', (_name, text) => {
  const before = process.cpuUsage();
  expect(parseCreds(text)).toBeUndefined();
  expect(process.cpuUsage(before).user).toBeLessThan(200_000);
});

test('differences are told leaf by leaf, in the syntax of paths', () => {
  const before = { limits: { conn: 1 }, exports: [{ subject: 'a' }, { subject: 'b' }], gone: true };
  const after = { limits: { conn: 2 }, exports: [{ subject: 'a' }, { subject: 'c' }], 'a.b': 1 };
  expect(diffClaims(before, after)).toEqual([
    { path: 'limits.conn', before: 1, after: 2 },
    { path: 'exports[1].subject', before: 'b', after: 'c' },
    { path: 'gone', before: true, after: null },
    { path: '["a.b"]', before: null, after: 1 },
  ]);
  expect(diffClaims(before, structuredClone(before))).toEqual([]);
});

test('members named as those of a prototype are members', () => {
  expect(diffClaims({}, { constructor: 1 })).toEqual([{ path: 'constructor', before: null, after: 1 }]);
  expect(diffClaims(JSON.parse('{"__proto__":{"a":1}}'), {})).toEqual([
    { path: '__proto__', before: { a: 1 }, after: null },
  ]);
});
