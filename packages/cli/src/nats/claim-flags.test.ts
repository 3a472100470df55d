import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { accountFlags, addClaimFlags, claimsFrom, roleFlags, userFlags } from './claim-flags.ts';

const home = mkdtempSync(join(tmpdir(), 'gatehouse-claims-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const claims = (flags: Parameters<typeof addClaimFlags>[1], args: readonly string[]) => {
  const command = addClaimFlags(new Command().exitOverride(), flags, { update: true });
  command.configureOutput({ writeErr: () => undefined });
  return claimsFrom(flags, command.parse(args, { from: 'user' }).opts());
};

const file = (content: string) => {
  const path = join(home, `${Math.random()}.json`);
  writeFileSync(path, content);
  return path;
};

describe('claims as flags', () => {
  it('an account: limits, JetStream, tags, default permissions in nats-server’s own fields', async () => {
    const args = ['--conn', '100', '--jetstream-disk', '10GiB', '--payload', '1MiB', '--subs', '-1'];
    const more = ['--tag', 'team:a', '--tag', 'b', '--disallow-bearer', '--deny-pub', 'secret.>'];
    expect(await claims(accountFlags, [...args, ...more])).toEqual({
      limits: {
        conn: 100,
        disk_storage: 10 * 1024 ** 3,
        payload: 1_048_576,
        subs: -1,
        disallow_bearer: true,
      },
      tags: ['team:a', 'b'],
      default_permissions: { pub: { deny: ['secret.>'] } },
    });
  });

  it('JetStream limits go into a tier when one is named', async () => {
    const args = [
      '--jetstream-tier',
      'R3',
      '--jetstream-disk',
      '5GiB',
      '--jetstream-streams',
      '4',
      '--conn',
      '7',
    ];
    expect(await claims(accountFlags, args)).toEqual({
      limits: { tiered_limits: { R3: { disk_storage: 5 * 1024 ** 3, streams: 4 } }, conn: 7 },
    });
  });

  it('a user: permissions, networks, times, bearer and its contrary', async () => {
    const args = [
      '--allow-pub',
      'a.>',
      '--allow-pub',
      'b',
      '--deny-sub',
      '>',
      '--src',
      '10.0.0.0/8',
      '--bearer',
    ];
    const times = ['--time', '08:00:00-18:00:00', '--time-zone', 'Europe/Madrid'];
    const replies = ['--response-max', '1', '--response-ttl', '5s'];
    expect(await claims(userFlags, [...args, ...times, ...replies])).toEqual({
      pub: { allow: ['a.>', 'b'] },
      sub: { deny: ['>'] },
      resp: { max: 1, ttl: 5_000_000_000 },
      src: ['10.0.0.0/8'],
      times: [{ start: '08:00:00', end: '18:00:00' }],
      times_location: 'Europe/Madrid',
      bearer_token: true,
    });
    expect(await claims(userFlags, ['--no-bearer'])).toEqual({ bearer_token: false });
    expect(await claims(roleFlags, [])).toBeUndefined();
  });

  it('--claims says everything else; a flag beside it wins; --unset takes away', async () => {
    const path = file('{"mappings":{"a":[{"subject":"b"}]},"limits":{"conn":5,"leaf":2}}');
    const args = ['--claims', path, '--conn', '9', '--unset', 'limits.payload', '--unset', 'trace'];
    expect(await claims(accountFlags, args)).toEqual({
      mappings: { a: [{ subject: 'b' }] },
      limits: { conn: 9, leaf: 2, payload: null },
      trace: null,
    });
  });

  it.each([
    ['{"a":', 'is not JSON'],
    ['[1]', 'one JSON object'],
  ])('--claims with %s is refused with exit code 2', async (content, said) => {
    await expect(claims(accountFlags, ['--claims', file(content)])).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(said),
    });
  });

  it('a file that is not there, a wrong time, a claim without a name: exit code 2', async () => {
    await expect(claims(accountFlags, ['--claims', join(home, 'none')])).rejects.toMatchObject({
      exitCode: 2,
    });
    expect(() => claims(userFlags, ['--time', '8-18'])).toThrow(/08:00:00/);
    await expect(claims(userFlags, ['--unset', 'pub..allow'])).rejects.toMatchObject({ exitCode: 2 });
    await expect(claims(userFlags, ['--unset', '__proto__.x'])).rejects.toMatchObject({ exitCode: 2 });
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });
});
