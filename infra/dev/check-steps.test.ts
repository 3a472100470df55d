import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { chooseSteps, steps } from './check-steps.ts';
import { tallyOf } from './test-report.ts';

const names = (args: string[]) => chooseSteps(args).chosen.map((step) => step.name);

test('without arguments every step runs', () => {
  expect(names([])).toEqual(steps.map((step) => step.name));
});

test('--only picks steps, and a path leaves only those that have tests', () => {
  expect(names(['--only', 'unit,types'])).toEqual(['types', 'unit']);
  expect(names(['--only=types,unit', 'kit/outbox'])).toEqual(['unit']);
  expect(chooseSteps(['kit/outbox']).filters).toEqual(['kit/outbox']);
});

test('an unknown step is refused by name', () => {
  expect(() => chooseSteps(['--only', 'units'])).toThrow('no step is called "units"');
});

test('a run that fails is never counted as passed, whatever its report says', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'gatehouse-report-')), 'report.json');
  expect(tallyOf(file, 1)).toEqual({ passed: 0, failed: 1 });
  const green = {
    numPassedTests: 3,
    numFailedTests: 0,
    testResults: [{ status: 'passed', assertionResults: [] }],
  };
  writeFileSync(file, JSON.stringify(green));
  expect(tallyOf(file, 0)).toEqual({ passed: 3, failed: 0 });
  expect(tallyOf(file, 1)).toEqual({ passed: 3, failed: 1 });
  const unloaded = { ...green, testResults: [{ status: 'failed', assertionResults: [] }] };
  writeFileSync(file, JSON.stringify(unloaded));
  expect(tallyOf(file, 1)).toEqual({ passed: 3, failed: 1 });
});
