import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { announcement } from './announce.ts';
import { lastFault } from './services-process.ts';

test('a password with quotes and dollars comes through the shell as it is', () => {
  const password = `it's "$HOME" \`x\` \\n!`;
  const text = announcement({
    url: 'http://localhost:1',
    administrator: { email: 'a@example.com', password },
    home: '/h',
    log: '/l',
    seconds: '1',
  });
  const line = text.split('\n').find((one) => one.trim().startsWith('curl')) ?? '';
  const body = execFileSync('/bin/sh', ['-c', line.trim().replace(/^curl .* -d /, 'printf %s ')], {
    encoding: 'utf8',
  });
  expect(JSON.parse(body)).toEqual({ email: 'a@example.com', password });
});

test('of the output of services that failed the telling line is told', () => {
  const list = 'gatehouse: the settings cannot be used:\n  PORT must be a number\n  HOST is odd\nmore';
  expect(lastFault(list)).toBe('the settings cannot be used: PORT must be a number; HOST is odd');
  const log =
    '{"level":"ERROR","msg":"cannot","err":{"message":"because"}}\n{"level":"INFO","msg":"stopped"}\n';
  expect(lastFault(log)).toBe('cannot: because');
  expect(lastFault('{"level":"ERROR","msg":"request","route":"/health/ready"}\n')).toBe('');
});
