import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import type { Head } from './chain.ts';
import { headEntry } from './checkpoint.ts';
import { GrowingTree } from './merkle.ts';
import { LogPruner, LogReader, logPartText, parseLogPart } from './pruned-log.ts';

const headsOf = (count: number): Head[] =>
  Array.from({ length: count }, (_, index) => ({
    chain: `c${index % 3}`,
    sequence: index + 1,
    hash: randomBytes(32),
  }));

const pruned = (heads: readonly Head[], wanted: (head: Head, index: number) => boolean) => {
  const pruner = new LogPruner();
  return [...heads.flatMap((head, index) => pruner.next(head, wanted(head, index))), ...pruner.end()];
};

it('whatever is left out of a log, its root and size follow, and what was wanted is there', () => {
  for (let round = 0; round < 300; round += 1) {
    const heads = headsOf(1 + Math.floor(Math.random() * 70));
    const share = Math.random() ** 3;
    const chosen = heads.map(() => Math.random() < share);
    const parts = pruned(heads, (_, index) => chosen[index] === true)
      .map(logPartText)
      .map(parseLogPart);
    const [whole, reader] = [new GrowingTree(), new LogReader()];
    for (const head of heads) whole.append(headEntry(head));
    for (const part of parts) expect(reader.append(part)).toBe(true);
    expect(reader.size).toBe(heads.length);
    expect(reader.root()).toEqual(whole.root());
    expect(parts.flatMap((part) => ('head' in part ? [part.head] : []))).toEqual(
      heads.filter((_, index) => chosen[index]),
    );
  }
});

it('a log of which one entry is wanted is no longer than its tree is high', () => {
  expect(pruned(headsOf(1000), (_, index) => index === 517).length).toBeLessThan(20);
});

it('any change of a part changes the root, or is refused', () => {
  const heads = headsOf(37);
  const parts = pruned(heads, (_, index) => index % 11 === 3);
  const rootOf = (changed: typeof parts) => {
    const reader = new LogReader();
    return changed.every((part) => reader.append(part)) && reader.size === heads.length
      ? reader.root()?.toString('hex')
      : undefined;
  };
  const root = rootOf(parts);
  expect(root).toBeDefined();
  for (const [index, part] of parts.entries()) {
    const forged =
      'head' in part
        ? { head: { ...part.head, sequence: part.head.sequence + 1 } }
        : { ...part, node: randomBytes(32) };
    expect(rootOf(parts.with(index, forged))).not.toBe(root);
    expect(rootOf(parts.toSpliced(index, 1))).not.toBe(root);
    expect(rootOf(parts.toSpliced(index, 0, part))).not.toBe(root);
  }
  expect(new LogReader().append({ size: 3, node: randomBytes(32) })).toBe(false);
});
