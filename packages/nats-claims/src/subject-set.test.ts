import { expect, test } from 'vitest';
import { covers, hasWildcards, subjectFault } from './index.ts';
import { SubjectSet } from './subject-set.ts';

test.each<[string, string, boolean]>([
  ['a', 'a', true],
  ['a.*', 'a.b', true],
  ['a.*', 'a.*', true],
  ['a.>', 'a.b.c', true],
  ['a.>', 'a.*', true],
  ['a.>', 'a', false],
  ['a.*', 'a', false],
  ['a.*', 'a.b.c', false],
  ['>', 'a.b', true],
  ['*', 'a.b', false],
  ['*', '>', true],
  ['a.b', 'a.*', false],
  ['a.*.c', 'a.b.>', false],
])('%s covers %s: %s', (outer, inner, expected) => {
  expect(covers(outer, inner)).toBe(expected);
});

test('wildcards stand alone in their token', () => {
  expect(['*', '>', 'a.*.b', 'a.>'].every(hasWildcards)).toBe(true);
  expect(['a*', 'a>b', '**', 'a.b'].some(hasWildcards)).toBe(false);
  expect(subjectFault('a*.b>')).toBeUndefined();
});

test('the tree finds what comparing each with each finds', () => {
  // A fixed sequence, so that a failure can be looked at again.
  let state = 42;
  const next = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state % below;
  };
  for (let round = 0; round < 300; round += 1) {
    const subjects = Array.from({ length: 8 }, () => {
      const tokens = Array.from({ length: 1 + next(4) }, () => ['a', 'b', '*'][next(3)] as string);
      return [...tokens, ...(next(4) === 0 ? ['>'] : [])].join('.');
    });
    const set = new SubjectSet();
    for (const [index, subject] of subjects.entries()) set.add(subject, index);
    for (const [index, subject] of subjects.entries()) {
      const slow = subjects.some((other, at) => at !== index && covers(other, subject));
      const found = set.coverOf(subject, index);
      expect(found !== undefined, `${subject} in ${subjects}`).toBe(slow);
      if (found !== undefined) expect(covers(subjects[found] as string, subject)).toBe(true);
    }
  }
});

test('a question that would take for ever is given up, and said to be', () => {
  const set = new SubjectSet();
  const names = (bits: number, last: string) =>
    [...Array.from({ length: 14 }, (_, bit) => ((bits >> bit) & 1 ? '*' : 'a')), last].join('.');
  for (let bits = 0; bits < 2 ** 14; bits += 1) set.add(names(bits, 'end'), bits);
  for (let index = 0; index < 5000; index += 1) set.coverOf(names(0, `other${index}`), -1);
  expect(set.exhausted).toBe(true);
});
