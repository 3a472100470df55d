import { baseSettings, type Settings, settingsInForce, settingsOfOneProcess } from '@gatehouse/kit';
import { describe, expect, it } from 'vitest';
import { services } from './platform.ts';

const all: Settings = Object.assign({}, baseSettings, ...services.map(({ settings }) => settings));
const secrets = Object.entries(all).filter(([, { secret }]) => secret);
const shown = (env: Record<string, string>) =>
  JSON.stringify(settingsInForce(all, { env, fromFile: new Set() }));

/** Where a secret can stand in a value; C is the secret. */
const shapes = [
  'C',
  ...['postgres://user:C@db.example:5432/x', 'redis://:C@cache.example', 'nats://C@bus.example:4222'],
  ...['postgres://db.example/x?user=a&password=C', 'postgres://db.example/x#C'],
  // Typed without escaping: it is not clear where the login ends.
  ...['postgres://u:C/x@db.example', 'postgres://u:1/C@db.example', 'redis://C#x@cache.example'],
  ...['nats://a:b@one.example,nats://C@two.example', 'nats://C,x@one.example', 'nats://a:x@C@one.example'],
  '-----BEGIN PRIVATE KEY-----\nC\n-----END PRIVATE KEY-----',
];

describe('the settings in force', () => {
  it.each(secrets)('%s: however its secret is written, no part of it is shown', (name) => {
    for (const shape of shapes) {
      const text = shown({ [name]: shape.replace('C', 'canary') });
      expect(text.includes('canary'), shape).toBe(false);
      expect(text).toContain(`"name":"${name}"`);
    }
  });

  it('show no login of a URL, and no private key, in any setting whether it is a secret or not', () => {
    for (const name of Object.keys(all))
      for (const shape of shapes.slice(1))
        expect(shown({ [name]: shape.replace('C', 'canary') }).includes('canary'), `${name} ${shape}`).toBe(
          false,
        );
  });

  it('show the host that a secret URL leads to', () => {
    const [found] = settingsInForce(
      { DATABASE_URL: baseSettings.DATABASE_URL },
      { env: { DATABASE_URL: 'postgres://u:p%40ss@db.example:5433/x' }, fromFile: new Set(['DATABASE_URL']) },
    );
    expect(found).toMatchObject({ host: 'db.example:5433', value: null, set: true, source: 'file' });
  });

  it('show everything else as it was given', () => {
    const given = {
      CORS_ORIGINS: 'https://a.example,https://b.example',
      TRUST_PROXY: '10.0.0.0/8',
      LOG_LEVEL: 'warn',
    };
    for (const value of Object.values(given)) expect(shown(given)).toContain(`"${value}"`);
    expect(shown({})).toContain('"value":"900"');
  });

  it('hold every setting of every service, and know which are each process’s own', () => {
    expect(secrets.length).toBeGreaterThan(8);
    for (const name of settingsOfOneProcess) expect(Object.keys(all)).toContain(name);
  });
});
