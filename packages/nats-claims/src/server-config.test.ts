import { expect, test } from 'vitest';
import { createNkey, encodeJwt, ServerConfigError, type ServerConfigOptions, serverConfig } from './index.ts';

const [operator, system, account] = [createNkey('operator'), createNkey('account'), createNkey('account')];
const jwtOf = (sub: string, type: string) => encodeJwt({ sub, name: type, iat: 1 }, { type }, operator);
const base = {
  resolver: 'full',
  operatorJwt: jwtOf(operator.publicKey, 'operator'),
  systemAccount: { publicKey: system.publicKey, jwt: jwtOf(system.publicKey, 'account') },
} satisfies ServerConfigOptions;
const more = { publicKey: account.publicKey, jwt: jwtOf(account.publicKey, 'account') };

test('a full resolver has a folder, deletes and compares; the system account is preloaded', () => {
  const { config, files } = serverConfig(base);
  expect(config).toContain(`operator: ${base.operatorJwt}\nsystem_account: ${system.publicKey}\n`);
  expect(config).toMatch(
    /resolver \{\n {2}type: full\n[^}]* {2}dir: ".\/jwt"\n[^}]*allow_delete: true\n {2}interval: "120s"\n\}/,
  );
  expect(config).toContain(`resolver_preload {\n  ${system.publicKey}: ${base.systemAccount.jwt}\n}`);
  expect(files).toEqual([]);
});

test('a memory resolver gets its accounts in a file beside it', () => {
  const { config, files } = serverConfig({
    ...base,
    resolver: 'memory',
    accounts: [more, base.systemAccount],
  });
  expect(config).toContain('resolver: MEMORY');
  expect(config).toContain('include resolver_preload.conf');
  expect(files).toHaveLength(1);
  expect(files[0]?.content.split('\n')).toHaveLength(5);
  expect(files[0]?.content).toContain(`${account.publicKey}: ${more.jwt}`);
});

test('what is in a text stays in it', () => {
  const evil = 'x" }\nhttp: 1 # \\"';
  expect(() => serverConfig({ ...base, dir: evil })).toThrow(ServerConfigError);
  const { config } = serverConfig({ ...base, dir: 'a" } b: "\\', serverName: '"}#$HOME' });
  expect(config).toContain('dir: "a\\" } b: \\"\\\\"');
  expect(config).toContain('server_name: "\\"}#$HOME"');
});

test.each<[string, Partial<ServerConfigOptions>]>([
  ['an operator JWT that is none', { operatorJwt: 'x' }],
  ['an account for the operator', { operatorJwt: base.systemAccount.jwt }],
  ['an operator JWT with a line after it', { operatorJwt: `${base.operatorJwt}\nhttp: 1` }],
  [
    'a system account of another key',
    { systemAccount: { ...base.systemAccount, publicKey: account.publicKey } },
  ],
  ['an account whose key is none', { accounts: [{ publicKey: 'A }', jwt: more.jwt }] }],
  ['an account whose JWT is none', { accounts: [{ ...more, jwt: 'x\ny' }] }],
  ['a folder with NUL', { dir: 'a\0' }],
  ['no folder', { dir: '' }],
  ['a lone surrogate', { dir: '\ud800' }],
  ['a name with a space', { serverName: 'a b' }],
  ['a cluster’s name with a space', { cluster: { name: 'a b', listen: { port: 1 }, routes: [] } }],
  [
    'JetStream in a cluster without routes',
    { jetstream: { storeDir: 'x' }, cluster: { name: 'c', listen: { port: 1 }, routes: [] } },
  ],
  ['a port that is none', { listen: { port: 70_000 } }],
  ['an address with a line', { listen: { host: 'a\nb', port: 1 } }],
  ['an interval that is none', { intervalSeconds: Number.NaN }],
  ['a limit below 0', { limit: -1 }],
  [
    'a cluster route with a quote and a line',
    { cluster: { name: 'c', listen: { port: 1 }, routes: ['nats://x"\n'] } },
  ],
])('%s is refused, and the message does not hold it', (_name, options) => {
  expect(() => serverConfig({ ...base, ...options })).toThrow(ServerConfigError);
});
