import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readSeedFile, writeSecretFile } from './secret-file.ts';

const home = mkdtempSync(join(tmpdir(), 'gatehouse-secret-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe('a secret in a file', () => {
  it('has mode 0600 whatever the umask, and leaves nothing beside it', async () => {
    const before = process.umask(0);
    try {
      await writeSecretFile(join(home, 'a.creds'), 'secret');
    } finally {
      process.umask(before);
    }
    expect(mode(join(home, 'a.creds'))).toBe('600');
    expect(readdirSync(home)).toEqual(['a.creds']);
  });

  it('never takes the place of a file or a link unless forced, and never writes through a link', async () => {
    const victim = join(home, 'victim');
    writeFileSync(victim, 'mine', { mode: 0o644 });
    symlinkSync(victim, join(home, 'link'));
    symlinkSync(join(home, 'nowhere'), join(home, 'dangling'));
    for (const name of ['victim', 'link', 'dangling'])
      await expect(writeSecretFile(join(home, name), 'secret')).rejects.toThrow(/--force/);
    await writeSecretFile(join(home, 'link'), 'secret', true);
    expect(readFileSync(victim, 'utf8')).toBe('mine');
    expect(readFileSync(join(home, 'link'), 'utf8')).toBe('secret');
    expect(mode(join(home, 'link'))).toBe('600');
  });

  it('of two writers one wins whole', async () => {
    const path = join(home, 'race');
    const results = await Promise.allSettled(
      ['a', 'b', 'c', 'd'].map((one) => writeSecretFile(path, one.repeat(9999))),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(new Set(readFileSync(path, 'utf8')).size).toBe(1);
  });

  it('a folder that is not there is one clear line', async () => {
    await expect(writeSecretFile(join(home, 'no', 'x'), 'secret')).rejects.toThrow(
      /cannot be written \(ENOENT\)/,
    );
  });

  it('a seed is read from a .nk or a .creds file; its refusal does not show what was there', async () => {
    const seed = `SU${'A'.repeat(56)}`;
    writeFileSync(join(home, 'u.nk'), `${seed}\n`);
    writeFileSync(
      join(home, 'u.creds'),
      `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
    );
    writeFileSync(join(home, 'bad'), 'hunter2');
    expect(await readSeedFile(join(home, 'u.nk'))).toBe(seed);
    expect(await readSeedFile(join(home, 'u.creds'))).toBe(seed);
    const refused = await readSeedFile(join(home, 'bad')).catch((error: Error) => error.message);
    expect(refused).toContain('holds no seed');
    expect(refused).not.toContain('hunter2');
  });
});
