import { expect, test } from 'vitest';
import { roleAtLeast, roles } from './principal.ts';

test('a role holds itself and all below it, and nothing above', () => {
  for (const [held, name] of roles.entries()) {
    for (const [needed, other] of roles.entries())
      expect(roleAtLeast({ roles: [name] }, other)).toBe(held >= needed);
  }
});

test('no role, an unknown role and a role in other letters hold nothing', () => {
  for (const names of [[], ['OWNER'], ['admin'], [''], ['__proto__'], ['constructor']])
    expect(roleAtLeast({ roles: names }, 'USER')).toBe(false);
});

test('one role among others is enough', () => {
  expect(roleAtLeast({ roles: ['OWNER', 'USER', 'ADMIN'] }, 'ADMIN')).toBe(true);
});
