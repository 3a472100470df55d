import { describe, expect, it } from 'vitest';
import { canonicalEmail, type EmailFault } from './email.ts';

const long = (length: number, char = 'a'): string => char.repeat(length);

describe('the canonical form of an address', () => {
  it.each([
    ['alice@example.com', 'alice@example.com'],
    ['  Alice@Example.COM\t\n', 'alice@example.com'],
    ['alice+tag@example.com', 'alice+tag@example.com'],
    ['a.b.c@example.com', 'a.b.c@example.com'],
    ["o'neil_{x}!#$%&*/=?^`|~-@example.com", "o'neil_{x}!#$%&*/=?^`|~-@example.com"],
    ['admin@localhost', 'admin@localhost'],
    // NFKC first: full-width and small @, full-width letters, the one-dot leader
    ['alice\uff20example.com', 'alice@example.com'],
    ['alice\ufe6bexample.com', 'alice@example.com'],
    ['\uff41lice@ex\uff41mple\uff0ecom', 'alice@example.com'],
    ['a\u2024b@example.com', 'a.b@example.com'],
    ['\u212aim@example.com', 'kim@example.com'],
    ['\ufb01x@example.com', 'fix@example.com'],
    ['cafe\u0301@example.com', 'caf\u00e9@example.com'],
    ['CAF\u00c9@example.com', 'caf\u00e9@example.com'],
    ['\u4f60\u597d@\u4f8b\u5b50.\u6d4b\u8bd5', '\u4f60\u597d@xn--fsqu00a.xn--0zwm56d'],
    ['alice@B\u00fccher.example', 'alice@xn--bcher-kva.example'],
    ['alice@xn--bcher-kva.example', 'alice@xn--bcher-kva.example'],
    ['alice@XN--BCHER-KVA.example', 'alice@xn--bcher-kva.example'],
    ['alice@example\u3002com', 'alice@example.com'],
    ['alice@fa\u00df.example', 'alice@xn--fa-hia.example'],
    [`${long(64)}@${long(63)}.example`, `${long(64)}@${long(63)}.example`],
  ])('%j becomes %j', (input, email) => {
    expect(canonicalEmail(input)).toEqual({ outcome: 'ok', email });
  });
});

const refusedInputs: [input: string, fault: EmailFault][] = [
  ['', 'empty'],
  [' \t\r\n', 'empty'],
  ['alice', 'not_one_address'],
  ['@', 'bad_local_part'],
  ['@example.com', 'bad_local_part'],
  ['alice@', 'bad_domain'],
  ['alice@bob@example.com', 'not_one_address'],
  // A second @ that only NFKC shows (attacks.md hard case 11)
  ['alice@evil.example\uff20example.com', 'not_one_address'],
  ['alice\ufe6bevil@example.com', 'not_one_address'],
  ['a@example.com,b@example.com', 'not_one_address'],
  ['a@example.com;b', 'not_one_address'],
  ['Alice <alice@example.com>', 'control_characters'],
  ['<alice@example.com>', 'not_one_address'],
  ['"a@b"@example.com', 'not_one_address'],
  ['"alice"@example.com', 'bad_local_part'],
  ['alice(comment)@example.com', 'bad_local_part'],
  ['a\\b@example.com', 'bad_local_part'],
  ['.alice@example.com', 'bad_local_part'],
  ['alice.@example.com', 'bad_local_part'],
  ['al..ice@example.com', 'bad_local_part'],
  ['al\u2025ice@example.com', 'bad_local_part'],
  ['alice\u0000@example.com', 'control_characters'],
  ['alice@example.com\r\nBcc: eve@example.com', 'control_characters'],
  ['ali\nce@example.com', 'control_characters'],
  ['ali ce@example.com', 'control_characters'],
  ['ali\u00a0ce@example.com', 'control_characters'],
  ['ali\u200bce@example.com', 'control_characters'],
  ['ali\u202ece@example.com', 'control_characters'],
  ['ali\u00adce@example.com', 'control_characters'],
  ['ali\u115fce@example.com', 'control_characters'],
  ['ali\ufe0fce@example.com', 'control_characters'],
  ['ali\u001b[31mce@example.com', 'control_characters'],
  ['ali\ue000ce@example.com', 'control_characters'],
  ['ali\ud800ce@example.com', 'malformed_text'],
  ['\udc00@example.com', 'malformed_text'],
  ['alice@example.com.', 'bad_domain'],
  ['alice@.example.com', 'bad_domain'],
  ['alice@example..com', 'bad_domain'],
  ['alice@-example.com', 'bad_domain'],
  ['alice@exa_mple.com', 'bad_domain'],
  ['alice@example.com/evil', 'bad_domain'],
  ['alice@example.com:25', 'bad_domain'],
  ['alice@example.com?x', 'bad_domain'],
  ['alice@ex%61mple.com', 'bad_domain'],
  ['alice@[127.0.0.1]', 'bad_domain'],
  ['alice@127.0.0.1', 'bad_domain'],
  ['alice@127.1', 'bad_domain'],
  ['alice@0x7f000001', 'bad_domain'],
  ['alice@2130706433', 'bad_domain'],
  ['alice@xn--a.example', 'bad_domain'],
  // Punycode of text that is not in canonical form: B\u00dccher, a zero-width joiner, full-width letters
  ['alice@xn--Bcher-2pa.example', 'bad_domain'],
  ['alice@xn--ab-m1t.example', 'bad_domain'],
  [`alice@${long(64)}.example`, 'bad_domain'],
  [`${long(65)}@example.com`, 'bad_local_part'],
  [`${long(33, '\u00e9')}@example.com`, 'bad_local_part'],
  [`a@${`${long(62)}.`.repeat(4)}com`, 'bad_domain'],
  [`${long(60)}@${`${long(62)}.`.repeat(3)}example`, 'too_long'],
  [`${long(1_000_000)}@example.com`, 'too_long'],
  [`${long(1000, '\ufdfa')}@example.com`, 'control_characters'],
];

describe('what is refused, with a reason', () => {
  it.each(refusedInputs)('input %#', (input, fault) => {
    expect(canonicalEmail(input)).toEqual({ outcome: 'refused', fault, reason: expect.any(String) });
  });
});

describe('idempotence: the canonical form of a canonical form is itself', () => {
  const holds = (input: string): void => {
    const once = canonicalEmail(input);
    if (once.outcome === 'refused') return;
    expect(canonicalEmail(once.email), JSON.stringify(input)).toEqual(once);
    expect(once.email).not.toMatch(/[\p{Cc}\s]/u);
    expect(once.email.split('@')).toHaveLength(2);
    expect(Buffer.byteLength(once.email)).toBeLessThanOrEqual(254);
  };

  it('holds for every code point there is, in either part', () => {
    for (let point = 0; point <= 0x10ffff; point += 1) {
      const char = String.fromCodePoint(point);
      const local = canonicalEmail(`a${char}b@example.com`);
      if (local.outcome === 'ok' && canonicalEmail(local.email).outcome !== 'ok')
        holds(`a${char}b@example.com`);
      if (local.outcome === 'ok' && local.email !== `a${char}b@example.com`) holds(`a${char}b@example.com`);
      // Domains go through IDNA, which is slow: the planes that hold scripts and compatibility forms.
      if (point < 0x3000 || (point >= 0xf900 && point < 0x1f200)) holds(`a@x${char}y.example`);
    }
  });

  it('holds for made-up text', () => {
    let seed = 42;
    const next = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed % below;
    };
    const pieces = [
      ...'aZ9.@-+_\u0130\u03a3\u03c2\u00df\u1e9e\u0345\u03d4\uff20\uff0e\u0301\u0307\u2126\u017f\u1f82\uac00\u1100\u1161\u11a8\u3002\u2024 \u200d',
    ];
    for (let i = 0; i < 50_000; i += 1) {
      const text = (): string =>
        Array.from({ length: 1 + next(6) }, () => pieces[next(pieces.length)]).join('');
      holds(`${text()}@${text()}.example`);
    }
  });
});
