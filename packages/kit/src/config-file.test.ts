import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { integer, list, type Settings } from './config.ts';
import { withConfigFile } from './config-file.ts';
import { parseKeyring } from './keyring.ts';
import { readSettings } from './run.ts';
import { defineService } from './service.ts';
import { testEnv } from './testing.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-config-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const settings: Settings = {
  AUTH_LOGIN_MAX_ATTEMPTS: integer({ doc: '', min: 1, max: 100, default: 5 }),
  CORS_ORIGINS: list({ doc: '', default: [] }),
};
let files = 0;
const fileOf = (text: string, mode = 0o600): string => {
  const path = join(folder, `config-${files++}.yaml`);
  writeFileSync(path, text, { mode });
  return path;
};
const read = (text: string, env: Record<string, string> = {}, complete = true) =>
  withConfigFile({ GATEHOUSE_CONFIG: fileOf(text), ...env }, { settings, complete });
const faultsOf = (text: string): readonly string[] => {
  try {
    read(text);
  } catch (error) {
    return (error as { faults: string[] }).faults.map((line) => line.slice(line.indexOf(': ') + 2));
  }
  throw new Error('the file was taken');
};

const secret = randomBytes(32).toString('base64');

describe('the configuration file', () => {
  it('as the guide shows it becomes our settings', () => {
    const { env, warnings } = read(`
# what an operator of NIS has
auto_migrate: true
encryption:
  current_key_id: "key-2025-02"   # now using the new key
  keys:
    - id: "key-2025-01"
      key: "${secret}"
    - id: "key-2025-02"
      key: "${randomBytes(32).toString('base64')}"
database:
  driver: "postgres"
  host: "db.example.com"
  port: 5432
  user: "nis"
  password: "strong-p@ssword/#1"
  dbname: "nis"
  sslmode: "require"
logging:
  level: "debug"
  format: "json"
`);
    expect(warnings).toEqual([
      expect.stringMatching(/no service of this process reads MIGRATE_ON_START, ENCRYPTION_CURRENT_KEY_ID/),
    ]);
    expect(env).toMatchObject({
      MIGRATE_ON_START: 'true',
      LOG_LEVEL: 'debug',
      DATABASE_URL:
        'postgres://nis:strong-p%40ssword%2F%231@db.example.com:5432/nis?uselibpqcompat=true&sslmode=require',
    });
    const ring = parseKeyring(env.ENCRYPTION_KEYS ?? '', env.ENCRYPTION_CURRENT_KEY_ID ?? '');
    expect([ring.keyIds, ring.currentKeyId]).toEqual([['key-2025-01', 'key-2025-02'], 'key-2025-02']);
  });

  it('takes any setting by its name, lists too, and addresses as Go has them', () => {
    const { env } = read(`
AUTH_LOGIN_MAX_ATTEMPTS: 7
CORS_ORIGINS: [https://a.example, https://b.example]
server: { address: ":9090" }
`);
    expect(env).toMatchObject({
      AUTH_LOGIN_MAX_ATTEMPTS: '7',
      CORS_ORIGINS: 'https://a.example,https://b.example',
      HOST: '0.0.0.0',
      PORT: '9090',
    });
    expect(read('address: "[::1]:81"').env).toMatchObject({ HOST: '::1', PORT: '81' });
  });

  it('gives way to the environment, which also knows the guide’s names', () => {
    const text = 'logging: { level: debug }\nauto_migrate: "true"\n';
    expect(read(text, { LOG_LEVEL: 'warn' }).env.LOG_LEVEL).toBe('warn');
    expect(read(text, { LOG_LEVEL: '' }).env.LOG_LEVEL).toBe('debug');
    const aliased = { LOGGING_LEVEL: 'error', DATABASE_AUTO_MIGRATE: 'false' };
    expect(read('', aliased).env).toMatchObject({ LOG_LEVEL: 'error', MIGRATE_ON_START: 'false' });
    expect(read('', { ...aliased, LOG_LEVEL: 'warn' }).env.LOG_LEVEL).toBe('warn');
    expect(read(text, aliased).env).toMatchObject({ LOG_LEVEL: 'error', MIGRATE_ON_START: 'false' });
  });

  it('keeps what is written as it is written: an id that looks like a number is a text', () => {
    const { env } = read(`encryption: { current_key_id: 1e3, keys: [{ id: 1e3, key: ${secret} }] }`);
    expect(env).toMatchObject({ ENCRYPTION_CURRENT_KEY_ID: '1e3', ENCRYPTION_KEYS: `1e3:${secret}` });
  });

  it.each([
    ['logins: 3', /^logins is not known/],
    ['encryption: { key: x }', /^encryption.key is not known \(known: current_key_id, keys\)/],
    ['encryption: { keys: x }', /^encryption.keys must be a list/],
    ['encryption: { keys: [{ id: a }] }', /^encryption.keys\[0\] needs id and key/],
    ['encryption: { keys: [{ id: "a:b", key: c }] }', /must not hold commas or colons/],
    ['encryption: [1]', /^encryption must be a map/],
    ['AUTH_LOGIN_MAX_ATTEMPT: 7', /^AUTH_LOGIN_MAX_ATTEMPT is not a setting/],
    ['AUTH_LOGIN_MAX_ATTEMPTS: { a: 1 }', /^AUTH_LOGIN_MAX_ATTEMPTS must be one value/],
    ['database: { driver: sqlite, path: ./nis.db }', /^database.path is not known/],
    ['database: { driver: sqlite }', /^database.driver must be postgres/],
    ['database: { host: h }', /^database needs host, user and dbname/],
    ['database: { host: h, user: u, dbname: d, sslmode: maybe }', /^database.sslmode must be one of/],
    ['database: { host: "h/x?y", user: u, dbname: d }', /^database.host is not a host/],
    ['logging: { format: xml }', /^logging.format must be json/],
    ['address: nowhere', /^address must be host:port/],
    ['__proto__: { a: 1 }', /^__proto__ is not known/],
    ['constructor: 1', /^constructor is not known/],
    ['GATEHOUSE_CONFIG: x', /^GATEHOUSE_CONFIG is not a setting/],
    ['a: [', /^line 1, column \d+ is not valid YAML/],
    ['LOG_LEVEL: a\nLOG_LEVEL: b', /^line 2, column 1 is not valid YAML \(DUPLICATE_KEY\)/],
    ['- a\n- b', /^the file is not a map/],
    ['a: 1\n---\nb: 2', /is not valid YAML \(MULTIPLE_DOCS\)/],
    ['a: &a [x]\nb: *a', /uses aliases/],
  ])('names what is wrong with %j', (text, fault) => {
    expect(faultsOf(text)[0]).toMatch(fault);
  });

  it('tells all faults at once, and never a value', () => {
    const faults = faultsOf(
      `encryption: { keys: [{ id: a, key: "${secret},x" }, { id: b }], other: ${secret} }\nx: 1`,
    );
    expect(faults).toHaveLength(4);
    expect(faults.join()).not.toContain(secret.slice(0, 8));
    expect(faultsOf(`encryption: { key: [${secret}`).join()).not.toContain(secret.slice(0, 8));
  });

  it('does not grow: a bomb of aliases, deep nesting and a huge file are refused at once', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefghij'].map((name, at) => `${name}: &${name} [${'*abcdefghij'[at + 1]}]`).join('\n')}`;
    expect(faultsOf(bomb)).not.toEqual([]);
    const begun = performance.now();
    expect(faultsOf(`a: ${'['.repeat(5_000)}`)[0]).toMatch(/not valid YAML|not known|cannot/);
    expect(faultsOf(`a: ${'x'.repeat(300_000)}`)[0]).toMatch(/more than/);
    expect(performance.now() - begun).toBeLessThan(5_000);
  });

  it('that is named must be there; the default one may be missing', () => {
    const options = { settings, complete: true };
    const missing = join(folder, 'none.yaml');
    expect(() => withConfigFile({ GATEHOUSE_CONFIG: missing }, options)).toThrow(/none\.yaml is not there/);
    expect(() => withConfigFile({ GATEHOUSE_CONFIG: folder }, options)).toThrow(/cannot be read/);
    expect(withConfigFile({ A: 'b' }, { ...options, fallback: missing })).toEqual({
      env: { A: 'b' },
      fromFile: new Set(),
      warnings: [],
    });
    const fallback = fileOf('LOG_LEVEL: warn');
    expect(withConfigFile({}, { settings, complete: false, fallback }).env.LOG_LEVEL).toBe('warn');
  });

  it('with secrets that everybody can read is warned of', () => {
    const open = fileOf(`encryption: { keys: [{ id: a, key: ${secret} }] }`, 0o600);
    const warned = () => withConfigFile({ GATEHOUSE_CONFIG: open }, { settings, complete: false }).warnings;
    expect(warned().join()).not.toMatch(/chmod/);
    execFileSync('chmod', ['644', open]);
    expect(warned().join()).toMatch(/everybody on this machine can read it: chmod 600/);
  });

  it('is read by every process, and a name that only another service knows is a warning there', () => {
    const { ENCRYPTION_KEYS, ENCRYPTION_CURRENT_KEY_ID, ...env } = testEnv({
      DATABASE_URL: 'postgres://localhost/x',
    });
    const text = `
encryption: { current_key_id: a, keys: [{ id: a, key: "${secret}" }] }
AUTH_LOGIN_MAX_ATTEMPTS: 7
`;
    const service = defineService({ name: 'audit', settings: {}, routes: [], open: async () => ({}) });
    const { config, warnings } = readSettings([service], { ...env, GATEHOUSE_CONFIG: fileOf(text) });
    expect(config).toMatchObject({ ENCRYPTION_KEYS: `a:${secret}`, ENCRYPTION_CURRENT_KEY_ID: 'a' });
    expect(warnings).toEqual([
      expect.stringContaining('no service of this process reads AUTH_LOGIN_MAX_ATTEMPTS'),
    ]);
  });
});
