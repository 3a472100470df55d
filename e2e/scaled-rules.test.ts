import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { scaledExpression, shippedAlerts, writeScaledRules } from './scaled-rules.ts';

it.each([
  ['rate(a[5m]) > 20 / 300', 'rate(a[5000ms]) > 20 / 300'],
  ['increase(a[1h30m]) > 3600', 'increase(a[90000ms]) > 3600'],
  // Two scrapes must lie in it.
  ['irate(a[1m])', 'irate(a[4000ms])'],
  [
    'max_over_time(a[1h:5m] offset 1d) < 21 * 86400',
    'max_over_time(a[60000ms:5000ms] offset 1440000ms) < 21 * 86400',
  ],
  ['a{route=~"/x[0-9]+"} > 60', 'a{route=~"/x[0-9]+"} > 60'],
  ['gatehouse:http_requests:rate5m > 0', 'gatehouse:http_requests:rate5m > 0'],
])('of %s only the time runs faster, sixty times', (expression, scaled) => {
  expect(scaledExpression(expression, 60)).toBe(scaled);
});

it('the rules that a test runs are the shipped ones: every alert, with its labels and its threshold', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-rules-'));
  try {
    const written = writeScaledRules(folder, 100).flatMap((name) =>
      parse(readFileSync(join(folder, name), 'utf8')).groups.flatMap(
        ({ rules }: { rules: Record<string, unknown>[] }) => rules,
      ),
    );
    const withoutTime = (text: unknown) => String(text).replace(/\[[^\]"]*\]|offset \w+/g, '');
    for (const alert of shippedAlerts()) {
      const found = written.find((rule) => rule.alert === alert.alert);
      expect(found?.labels).toEqual(alert.labels);
      expect(withoutTime(found?.expr)).toBe(withoutTime(alert.expr));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
