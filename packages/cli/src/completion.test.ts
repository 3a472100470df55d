import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { placesOf } from './completion.ts';
import { completionScript, shells } from './completion-script.ts';
import { createProgram } from './program.ts';

const places = placesOf(createProgram());
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-completion-'));
const script = join(folder, 'gatehouse.bash');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(() => {
  writeFileSync(script, completionScript('bash', places));
  writeFileSync(join(folder, 'gatehouse'), '#!/bin/sh\necho production\necho staging\n');
  chmodSync(join(folder, 'gatehouse'), 0o755);
  writeFileSync(join(folder, 'orders.creds'), '');
});

/** What a real bash proposes for a line whose last word is being typed. */
function completed(line: string): string[] {
  const typed = line.split(' ');
  const program = `
    source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
    compopt() { :; }
    _gatehouse
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', program, 'bash', script, ...typed], {
    encoding: 'utf8',
    cwd: folder,
    env: { PATH: `${folder}:${process.env.PATH}` },
  });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return stdout.split('\n').filter((word) => word !== '');
}

describe('completion in a real bash', () => {
  it.each([
    ['gatehouse mig', ['migrate']],
    ['gatehouse keys enc', ['encryption']],
    ['gatehouse keys encryption re', ['reencrypt']],
    ['gatehouse --url https://id.example.com keys ro', ['rotate']],
    ['gatehouse --json keys ro', ['rotate']],
    ['gatehouse keys rotate --rea', ['--reason']],
    ['gatehouse keys rotate --js', ['--json']],
    ['gatehouse completion ', ['bash', 'zsh', 'fish']],
    ['gatehouse completion z', ['zsh']],
    ['gatehouse --profile pro', ['production']],
    ['gatehouse user creds shop --output ord', ['orders.creds']],
    // A value that is also the name of a command leads nowhere.
    ['gatehouse --profile keys mig', ['migrate']],
    ['gatehouse login --email ', []],
  ])('%j gives %j', (line, words) => {
    expect(completed(line)).toEqual(words);
  });

  it('knows every command and every option that there is', () => {
    for (const { path, commands, options } of places) {
      const at = ['gatehouse', ...path].join(' ');
      if (path.length < 2) {
        if (commands.length > 0)
          expect(completed(`${at} `), at).toEqual(expect.arrayContaining(commands.map(({ name }) => name)));
        expect(completed(`${at} --`).sort(), at).toEqual(options.map(({ name }) => name).sort());
      }
    }
  });
});

describe('the scripts of all shells', () => {
  it.each(shells)('%s: are read without a complaint where the shell is installed', (shell) => {
    const file = join(folder, `syntax.${shell}`);
    writeFileSync(file, completionScript(shell, places));
    const { error, status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    const installed = (error as NodeJS.ErrnoException | undefined)?.code !== 'ENOENT';
    expect(installed ? { status, stderr } : { status: 0, stderr: '' }).toEqual({ status: 0, stderr: '' });
  });

  it('nothing that a description says is run by a shell', () => {
    for (const { commands, options } of places)
      for (const { description } of [...commands, ...options]) expect(description).not.toMatch(/[`"'\\$]/);
  });

  it.each(shells)('%s: names every command', (shell) => {
    const text = completionScript(shell, places);
    for (const { path } of places) expect(text).toContain(path.join(' '));
  });
});
