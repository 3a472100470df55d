import { describe, expect, it } from 'vitest';
import { lifetimeOf, limitOf, momentOf, nanosecondsOf, secondsOf, sizeOf } from './units.ts';

describe('quantities on the command line', () => {
  it.each([
    ['10GiB', 10 * 1024 ** 3],
    ['500MB', 500_000_000],
    ['64K', 65_536],
    ['1.5 GiB', 1.5 * 1024 ** 3],
    ['1048576', 1_048_576],
    ['0', 0],
    ['unlimited', -1],
    ['-1', -1],
  ])('the size %s is %d bytes', (text, bytes) => expect(sizeOf(text)).toBe(bytes));

  it.each(['', 'GiB', '10 gigs', '-5', '1e9', '10GiBs', '999999999999999TiB', '１０'])(
    'the size %j is refused',
    (text) => expect(() => sizeOf(text)).toThrow(/size such as/),
  );

  it.each([
    ['90s', 90],
    ['15m', 900],
    ['24h', 86_400],
    ['30d', 2_592_000],
    ['2w', 1_209_600],
    ['1y', 31_536_000],
    ['1h30m', 5_400],
  ])('the time %s is %d seconds', (text, seconds) => expect(secondsOf(text)).toBe(seconds));

  it.each(['', '10', 'd', '0s', '-1h', '1.5h', '1h x', '1 h'])(
    'the time %j is refused: which unit?',
    (text) => expect(() => secondsOf(text)).toThrow(/time such as/),
  );

  it('limits are whole numbers or unlimited', () => {
    expect(limitOf('100')).toBe(100);
    expect(limitOf('Unlimited')).toBe(-1);
    for (const text of ['', '-2', '1.5', '1e3', 'ten']) expect(() => limitOf(text)).toThrow(/whole number/);
  });

  it('nats-server counts replies in nanoseconds; what a number cannot hold exactly is refused', () => {
    expect(nanosecondsOf('5s')).toBe(5_000_000_000);
    expect(nanosecondsOf('250ms')).toBe(250_000_000);
    expect(() => nanosecondsOf('1y')).toThrow(/too long/);
  });

  it('moments come from now, as dates, or never', () => {
    const inAnHour = Date.parse(momentOf('1h') ?? '');
    expect(Math.abs(inAnHour - Date.now() - 3_600_000)).toBeLessThan(5_000);
    expect(momentOf('2027-01-31')).toBe('2027-01-31T00:00:00.000Z');
    expect(momentOf('2027-01-31T12:00:00+02:00')).toBe('2027-01-31T10:00:00.000Z');
    expect(momentOf('never')).toBeNull();
    expect(lifetimeOf('never')).toBeNull();
    for (const text of ['', 'tomorrow', '2027-13-01', '1'])
      expect(() => momentOf(text), text).toThrow(/Say a time/);
  });
});
