import { describe, expect, it } from 'vitest';
import { clean, table } from './output.ts';

const rows = [
  { name: 'orders', public_key: `A${'B'.repeat(55)}`, servers: ['nats://a:4222', 'nats://b:4222'] },
  { name: 'a name that goes on and on and on and on', public_key: null, servers: [] },
];

describe('tables', () => {
  it('fit the terminal: the widest columns give way, and end in an ellipsis', () => {
    const lines = table(rows, ['name', 'public_key', 'servers'], 60);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60);
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
});
