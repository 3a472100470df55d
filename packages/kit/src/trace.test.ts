import { describe, expect, it } from 'vitest';
import { traceIdOf, traceOf } from './trace.ts';

const id = '4bf92f3577b34da6a3ce929d0e0e4736';
const parent = '00f067aa0ba902b7';

// W3C Trace Context §3.2 and §4.3.
describe('a traceparent that a caller sends', () => {
  it.each([
    [`00-${id}-${parent}-01`, '01'],
    [`00-${id}-${parent}-00`, '00'],
    // Of the flags only the one that this version knows goes on.
    [`00-${id}-${parent}-ff`, '01'],
    [`00-${id}-${parent}-fe`, '00'],
    // A later version: what it adds is not understood, and not passed on.
    [`01-${id}-${parent}-01`, '01'],
    [`cc-${id}-${parent}-01-what-comes-later`, '01'],
  ])('%s: its trace goes on, with a parent of our own and its sampling %s', (header, flags) => {
    const { traceId, traceparent } = traceOf(header);
    expect(traceId).toBe(id);
    expect(traceparent).toMatch(new RegExp(`^00-${id}-[0-9a-f]{16}-${flags}$`));
    expect(traceparent).not.toContain(parent);
    expect(traceIdOf(header)).toBe(id);
  });

  it.each([
    ['nothing', ''],
    ['a trace of zeros', `00-${'0'.repeat(32)}-${parent}-01`],
    ['a parent of zeros', `00-${id}-${'0'.repeat(16)}-01`],
    ['version ff', `ff-${id}-${parent}-01`],
    ['capitals', `00-${id.toUpperCase()}-${parent}-01`],
    ['more than its version has', `00-${id}-${parent}-01-more`],
    ['another version without its separator', `01-${id}-${parent}-01more`],
    ['two of them', `00-${id}-${parent}-01, 00-${id}-${parent}-01`],
    ['a line break', `00-${id}-${parent}-01\n`],
    ['a header of its own', `00-${id}-${parent}-01\r\nx-evil: 1`],
    ['something very long', `cc-${id}-${parent}-01-${'x'.repeat(100_000)}`],
    ['SQL', `00-${id.slice(0, 31)}'-${parent}-01`],
  ])('with %s counts as missing: a new trace begins, which nobody records', (_what, header) => {
    const { traceId, traceparent } = traceOf(header);
    expect(traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(traceId).not.toBe(id);
    expect(traceparent).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
    expect(traceIdOf(header)).toBeNull();
  });
});
