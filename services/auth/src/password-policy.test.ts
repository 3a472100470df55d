import { describe, expect, it } from 'vitest';
import { type PasswordOwner, passwordFaults, passwordText } from './password-policy.ts';

const owner: PasswordOwner = { email: 'alice.smith+news@example.com', name: 'Alice Smith' };
const codes = async (password: string, of = owner): Promise<string[]> =>
  (await passwordFaults(password, of)).map(({ code }) => code);

describe('a new password', () => {
  it.each([
    ['guide 004', 'StrongPassword123'],
    ['exactly eight', 'xk3-vq9z'],
    ['a sentence with spaces', ' the cat sat on the mat '],
    ['no composition rules', 'zzvqxkwj'],
    ['eight emoji', '\u{1f600}\u{1f601}\u{1f602}\u{1f603}\u{1f604}\u{1f605}\u{1f606}\u{1f607}'],
    ['1,024 code points', '\u{1f600}'.repeat(1024)],
    ['1,024 after composition', 'e\u0301'.repeat(1024)],
    ['control characters other than NUL', 'tab\tand\u0001more'],
    ['the name within more', 'Alice Smith likes 3 turnips'],
  ])('is accepted: %s (%#)', async (_, password) => {
    expect(await codes(password)).toEqual([]);
  });

  it.each([
    ['', 'too_short'],
    ['xk3-vq9', 'too_short'],
    ['\u{1f600}'.repeat(7), 'too_short'],
    // 14 code points that NFKC makes 7
    ['e\u0301'.repeat(7), 'too_short'],
    ['x'.repeat(1025), 'too_long'],
    ['x'.repeat(72_000), 'too_long'],
    ['\ufdfa'.repeat(1024), 'too_long'],
    ['x'.repeat(5_000_000), 'too_long'],
    ['password123', 'common'],
    ['PassWord123', 'common'],
    ['\uff30\uff41\uff53\uff53\uff57\uff4f\uff52\uff44123', 'common'],
    ['qwertyuiop', 'common'],
    ['Alice.Smith+News@Example.com', 'is_email'],
    ['alice.smith+NEWS', 'is_email'],
    ['alicesmith', 'is_name'],
    ['Alice  Smith', 'is_name'],
    ['smith-alice', 'is_name'],
    ['abcd\0efgh', 'malformed'],
    ['abcdefg\ud800', 'malformed'],
    ['\udc00abcdefg', 'malformed'],
  ])('is refused: row %#', async (password, code) => {
    expect(await codes(password)).toEqual([code]);
  });

  it('names every reason at once, each with a sentence', async () => {
    const reasons = await passwordFaults('bob', { email: 'bob@example.com', name: 'Bob' });
    expect(reasons.map(({ code }) => code)).toEqual(['too_short', 'is_email', 'is_name']);
    for (const { message } of reasons) expect(message).toMatch(/^The password .*\.$/);
  });

  it('is not compared with a name that is not there', async () => {
    expect(await codes('unrelated words', { email: 'a@example.com' })).toEqual([]);
    expect(await codes('unrelated words', { email: 'a@example.com', name: ' - ' })).toEqual([]);
  });
});

describe('passwordText', () => {
  it('gives sign-in the same form as registration, whatever the keyboard composes', () => {
    expect(passwordText('cafe\u0301-\ufb01x')).toEqual({ outcome: 'ok', password: 'caf\u00e9-fix' });
  });

  it('refuses a hard-case-9 password without touching it (72 kB ten thousand times)', () => {
    const flood = 'p\u00e4ssword'.repeat(9000);
    const before = process.cpuUsage();
    for (let i = 0; i < 10_000; i += 1) expect(passwordText(flood).outcome).toBe('refused');
    expect(process.cpuUsage(before).user).toBeLessThan(1_000_000);
  });
});
