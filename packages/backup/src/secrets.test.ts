import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { asEnvFile, gatherSecrets, settingsOfData } from './secrets.ts';

const home = mkdtempSync(join(tmpdir(), 'gatehouse-secrets-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
mkdirSync(join(home, 'nats/creds'), { recursive: true });
writeFileSync(join(home, 'nats/bus.json'), '{}');
writeFileSync(join(home, 'nats/creds/auth.creds'), 'creds of auth');
writeFileSync(join(home, 'nats/creds/notes.txt'), 'no creds');
const kept = { GATEHOUSE_SECRET: 'home-root', ENCRYPTION_KEYS: 'h1:home', ENCRYPTION_CURRENT_KEY_ID: 'h1' };
writeFileSync(join(home, 'secrets.json'), JSON.stringify({ ...kept, postgresPassword: 'not-of-the-data' }));

const env = { GATEHOUSE_SECRET: 'root', ENCRYPTION_KEYS: 'k1:x,k2:y', ENCRYPTION_CURRENT_KEY_ID: 'k2' };
const gather = (about: Partial<Parameters<typeof gatherSecrets>[0]>) =>
  gatherSecrets({ env: {}, home: undefined, files: [], ...about });

describe('the settings and secrets of a backup', () => {
  it('come from the environment, and then no part of them from the home', () => {
    expect(gather({ env, home }).settings).toEqual(env);
  });

  it('come from the home of npm start where the environment has none, the keys with their current id', () => {
    expect(gather({ home }).settings).toEqual(kept);
    const { ENCRYPTION_KEYS, ENCRYPTION_CURRENT_KEY_ID } = env;
    expect(gather({ home, env: { ENCRYPTION_KEYS, ENCRYPTION_CURRENT_KEY_ID } }).settings).toEqual({
      ...kept,
      ENCRYPTION_KEYS,
      ENCRYPTION_CURRENT_KEY_ID,
    });
  });

  it('that are missing are named, never a value', () => {
    expect(() => gather({ env: { ENCRYPTION_KEYS: 'k1:hidden' } })).toThrow(
      /^GATEHOUSE_SECRET, ENCRYPTION_CURRENT_KEY_ID are missing/,
    );
    expect(() => gather({ env: { ENCRYPTION_KEYS: 'k1:hidden' } })).not.toThrow(/hidden/);
  });

  it('hold what the services log in to the bus with, and the public half of a bus of ours', () => {
    const files = [
      { name: 'nats/bus.json', content: '{}' },
      { name: 'nats/creds/auth.creds', content: 'creds of auth' },
    ];
    expect(gather({ home }).files).toEqual(files);
    expect(gather({ env: { ...env, NATS_CREDS: join(home, 'nats/creds') } }).files).toEqual(files);
    expect(gather({ env: { ...env, NATS_CREDS: join(home, 'nats/creds/auth.creds') } }).files).toEqual([
      files[1],
    ]);
  });

  it('come back from the file that a restore writes, keys of many lines too', () => {
    const settings = {
      ...env,
      JWT_PRIVATE_KEY_PEM: '-----BEGIN\nabc+/=\n-----END',
      PASSWORD_PEPPER: 'a "b" #c \'d\' $e',
    };
    const read = parseEnv(asEnvFile({ settings, files: [] }));
    expect(read.JWT_PRIVATE_KEY_PEM?.replaceAll('\\n', '\n')).toBe(settings.JWT_PRIVATE_KEY_PEM);
    expect(read).toMatchObject({ ...settings, JWT_PRIVATE_KEY_PEM: expect.any(String) });
  });

  it('are all that docs/config.md calls a secret, but for those that any installation can have anew', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/config.md'), 'utf8');
    const rows = page.split('\n').flatMap((line) => {
      const [name = '', , , , secret = ''] = line
        .split('|')
        .slice(1)
        .map((cell) => cell.trim());
      return secret === 'yes' ? [name.replaceAll('`', '')] : [];
    });
    const ofPlace = [
      ...['DATABASE_URL', 'DATABASE_DIRECT_URL', 'NATS_URL', 'RATE_LIMIT_REDIS_URL', 'AUDIT_CHECKPOINT_URL'],
      ...['METRICS_GUARD_SECRET', 'GATEHOUSE_ADMIN_PASSWORD'],
    ];
    expect(rows.length).toBeGreaterThan(8);
    const isOfPlace = (name: string) => ofPlace.includes(name) || /^[A-Z_]+_DATABASE_URL$/.test(name);
    expect(rows.filter((name) => !settingsOfData.includes(name) && !isOfPlace(name))).toEqual([]);
  });
});
