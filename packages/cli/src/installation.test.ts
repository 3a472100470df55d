import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { chooseInstallation } from './installation.ts';
import { addressOf, profileName } from './profile.ts';

const home = mkdtempSync(join(tmpdir(), 'gatehouse-profiles-'));
const profiles = join(home, 'gatehouse', 'profiles.json');
const write = (content: unknown) =>
  writeFileSync(profiles, typeof content === 'string' ? content : JSON.stringify(content));

beforeAll(() => {
  mkdirSync(join(home, 'gatehouse'));
  vi.stubEnv('XDG_CONFIG_HOME', home);
  vi.stubEnv('GATEHOUSE_SESSION_FILE', '');
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true, force: true });
});
afterEach(() => rmSync(profiles, { force: true }));

const kept = {
  current: 'used',
  profiles: {
    used: { url: 'https://used.example' },
    named: { url: 'https://named.example', tenant: 'a-tenant' },
    meant: { url: 'https://meant.example' },
  },
};

describe('which installation', () => {
  it('is decided by the first that is given: --url, --profile, the environment, the profile in use, the checkout', () => {
    write(kept);
    const env = {
      GATEHOUSE_URL: 'https://environment.example',
      GATEHOUSE_PROFILE: 'meant',
      GATEHOUSE_LOCAL_URL: 'http://localhost:9999',
    };
    const url = (choice: Parameters<typeof chooseInstallation>[0]) => chooseInstallation(choice).url;
    expect(url({ url: 'https://said.example/', profile: 'named', env })).toBe('https://said.example');
    expect(url({ profile: 'named', env })).toBe('https://named.example');
    expect(url({ env })).toBe('https://environment.example');
    expect(url({ env: { ...env, GATEHOUSE_URL: '' } })).toBe('https://meant.example');
    expect(url({ env: { GATEHOUSE_LOCAL_URL: env.GATEHOUSE_LOCAL_URL } })).toBe('https://used.example');
    rmSync(profiles);
    expect(url({ env: { GATEHOUSE_LOCAL_URL: env.GATEHOUSE_LOCAL_URL } })).toBe('http://localhost:9999');
    expect(url({ env: {} })).toBe('http://localhost:8080');
  });

  it('a profile brings its tenant; an address alone brings none, and no sign-in of a profile', () => {
    write(kept);
    expect(chooseInstallation({ profile: 'named', env: {} })).toMatchObject({
      profile: 'named',
      tenant: 'a-tenant',
    });
    const byAddress = chooseInstallation({ url: 'https://named.example', env: {} });
    expect(byAddress.tenant).toBeUndefined();
    expect(byAddress.profile).toBeUndefined();
  });

  it('a profile that is not there is wrong usage, and names those that are', () => {
    write(kept);
    const refusal = { exitCode: 2, message: expect.stringContaining('used, named, meant') };
    expect(() => chooseInstallation({ profile: 'none', env: {} })).toThrow(expect.objectContaining(refusal));
    expect(() => chooseInstallation({ env: { GATEHOUSE_PROFILE: 'constructor' } })).toThrow('no profile');
  });

  it.each(['{', '[]', '{"profiles":{"a":{"url":7}}}', '{"profiles":{"../a":{"url":"http://x"}}}'])(
    'a damaged file (%s) is a sentence, and is not overwritten',
    (content) => {
      write(content);
      expect(() => chooseInstallation({ env: {} })).toThrow(/is damaged: mend it/);
    },
  );
});

describe('an address', () => {
  it('has one form, whatever was typed', () => {
    for (const text of ['HTTPS://Id.Example.com/', 'https://id.example.com:443', 'https://id.example.com//'])
      expect(addressOf(text)).toBe('https://id.example.com');
    expect(addressOf('http://host:8080/base/')).toBe('http://host:8080/base');
  });

  it.each(['', 'id.example.com', 'ftp://host', 'javascript:alert(1)', 'https://host?x=1', 'https://host#x'])(
    '%j is none',
    (text) => expect(() => addressOf(text)).toThrow(expect.objectContaining({ exitCode: 2 })),
  );

  it('never holds a password, and the refusal does not show it', () => {
    expect(() => addressOf('https://ada:hunter2@host')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
    );
  });

  it.each(['', '-x', '../x', 'a b', 'x'.repeat(65), 'näme'])('%j cannot name a profile', (name) =>
    expect(() => profileName(name)).toThrow('cannot name a profile'),
  );
});
