import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readNscFolder, writeNscFolder } from './nsc-folder.ts';

const home = mkdtempSync(join(tmpdir(), 'gatehouse-nsc-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe('an nsc folder', () => {
  it('is read without what links lead to, and without what an import does not need', async () => {
    const store = join(home, 'store', 'O');
    mkdirSync(join(store, 'accounts', 'A B'), { recursive: true });
    writeFileSync(join(home, 'outside.jwt'), 'outside');
    writeFileSync(join(store, 'O.jwt'), 'o');
    writeFileSync(join(store, 'accounts', 'A B', 'A B.jwt'), 'a');
    writeFileSync(join(store, '.nsc'), '{}');
    writeFileSync(join(store, 'u.creds'), 'creds');
    symlinkSync(join(home, 'outside.jwt'), join(store, 'link.jwt'));
    symlinkSync(home, join(store, 'loop'));
    expect(await readNscFolder(join(home, 'store'), 'stores')).toEqual([
      { path: 'stores/O/O.jwt', content: 'o' },
      { path: 'stores/O/accounts/A B/A B.jwt', content: 'a' },
    ]);
  });

  it('of another kind is refused: too deep, a file too large, not there', async () => {
    const deep = join(home, 'deep', ...'abcdefghijk');
    mkdirSync(deep, { recursive: true });
    await expect(readNscFolder(join(home, 'deep'), 'x')).rejects.toThrow(/too deep/);
    mkdirSync(join(home, 'large'));
    writeFileSync(join(home, 'large', 'x.jwt'), Buffer.alloc(1024 * 1024 + 1));
    await expect(readNscFolder(join(home, 'large'), 'x')).rejects.toThrow(/larger than 1 MiB/);
    await expect(readNscFolder(join(home, 'none'), 'x')).rejects.toMatchObject({ exitCode: 2 });
  });

  it('is written for its owner alone, and never over something', async () => {
    const folder = join(home, 'out');
    await writeNscFolder(folder, [{ path: 'keys/O/AB/OAB.nk', content: 'seed' }]);
    expect(mode(folder)).toBe('700');
    expect(mode(join(folder, 'keys', 'O'))).toBe('700');
    expect(mode(join(folder, 'keys/O/AB/OAB.nk'))).toBe('600');
    await expect(writeNscFolder(folder, [{ path: 'x', content: 'x' }])).rejects.toThrow(/already/);
    expect(existsSync(join(folder, 'x'))).toBe(false);
  });

  it.each(['../x', 'a/../../x', '/etc/x', 'a//x', './x', 'a\\..\\x', 'C:/x', 'a/\u0000', '..'])(
    'a path that leads elsewhere (%j) writes nothing at all',
    async (path) => {
      const folder = join(home, `hostile-${Math.random()}`);
      const files = [
        { path: 'good.jwt', content: 'good' },
        { path, content: 'bad' },
      ];
      await expect(writeNscFolder(folder, files)).rejects.toThrow(/leads elsewhere/);
      expect(existsSync(folder)).toBe(false);
      expect(existsSync(join(home, 'x')) && readFileSync(join(home, 'x'), 'utf8')).toBe(false);
    },
  );
});
