import { describe, expect, it } from 'vitest';
import { usesColour } from './colour.ts';
import { clean, table } from './output.ts';
import { fitted, widthOf, wrapped } from './text-width.ts';

const rows = [
  { name: 'orders', public_key: `A${'B'.repeat(55)}`, servers: ['nats://a:4222', 'nats://b:4222'] },
  { name: 'a name that goes on and on and on and on', public_key: null, servers: [] },
];

describe('tables', () => {
  it('fit the terminal: the widest columns give way, and end in an ellipsis', () => {
    const lines = table(rows, ['name', 'public_key', 'servers'], 60);
    for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(60);
    expect(lines[1]).toContain('orders');
    expect(lines[1]).toContain('…');
  });

  it('are whole when they go into a pipe or a file', () => {
    const [head, first] = table(rows, ['name', 'public_key', 'servers'], undefined);
    expect(head).toMatch(/^NAME +PUBLIC_KEY +SERVERS$/);
    expect(first).toContain(`A${'B'.repeat(55)}`);
    expect(first).toContain('nats://a:4222, nats://b:4222');
  });

  it('what strangers named cannot steer the terminal, nor turn its text around', () => {
    const name = 'x\u001b[2J\u001b]0;owned\u0007\r\ny\u202egnp';
    const shown = table([{ name }], ['name'], undefined).join('|');
    expect(shown).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(clean(name)).not.toMatch(/\p{Cc}/u);
  });

  it('are blocks, a line a column, where not even narrow columns fit', () => {
    const columns = ['name', 'public_key', 'servers'];
    const lines = table(rows, columns, 20);
    expect(lines).toHaveLength(2 * columns.length + 1);
    expect(lines[0]).toMatch(/^NAME +orders$/);
    expect(lines[1]).toContain(`A${'B'.repeat(55)}`);
  });

  it('columns stand under one another whatever the script: Chinese, combining marks, emoji, flags', () => {
    const names = ['李小龙', 'e\u0301cole', '👩‍👩‍👧 family', '🇩🇪 Bonn', 'plain', 'ｆｕｌｌ'];
    const lines = table(
      names.map((name) => ({ name, state: 'x' })),
      ['name', 'state'],
      80,
    );
    const starts = lines.map((line) => widthOf(line.slice(0, line.search(/(?:STATE|x)$/))));
    expect(new Set(starts).size, lines.join('\n')).toBe(1);
  });

  it('nothing is cut within a character, and a cut cell has its width still', () => {
    expect(fitted('李小龙先生', 6)).toBe('李小… ');
    expect(fitted('👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧', 4)).toBe('👩‍👩‍👧… ');
    expect(fitted('e\u0301'.repeat(5), 3)).toBe('e\u0301e\u0301…');
    for (const width of [1, 2, 3, 4, 5, 9]) expect(widthOf(fitted('李小龙 abc 👍🏽', width))).toBe(width);
  });
});

it('sentences break at blanks, and a word that is too long stays whole', () => {
  expect(wrapped('the 李小龙 is here', 10)).toEqual(['the 李小龙', 'is here']);
  expect(wrapped('see https://id.example.com/health now', 12)).toEqual([
    'see',
    'https://id.example.com/health',
    'now',
  ]);
  expect(wrapped('as long as it wants to be', undefined)).toEqual(['as long as it wants to be']);
});

describe('colour', () => {
  const [terminal, pipe] = [{ isTTY: true }, { isTTY: false }];

  it('is for terminals only, and for none that is dumb', () => {
    expect(usesColour(terminal, { env: {} })).toBe(true);
    expect(usesColour(pipe, { env: {} })).toBe(false);
    expect(usesColour(terminal, { env: { TERM: 'dumb' } })).toBe(false);
  });

  it('NO_COLOR takes it away, FORCE_COLOR gives it to pipes, --no-color goes before both', () => {
    expect(usesColour(terminal, { env: { NO_COLOR: '1' } })).toBe(false);
    expect(usesColour(terminal, { env: { NO_COLOR: '' } })).toBe(true);
    expect(usesColour(pipe, { env: { FORCE_COLOR: '1' } })).toBe(true);
    expect(usesColour(terminal, { env: { FORCE_COLOR: '0' } })).toBe(false);
    expect(usesColour(pipe, { env: { FORCE_COLOR: '1', NO_COLOR: '1' } })).toBe(false);
    expect(usesColour(terminal, { refused: true, env: { FORCE_COLOR: '1' } })).toBe(false);
  });
});
