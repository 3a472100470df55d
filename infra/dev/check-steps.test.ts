import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
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

test('of the scaled installation a run of everything takes a sample; asked for by name it is whole', () => {
  const words = (args: string[]) =>
    chooseSteps(args).chosen.find((step) => step.name === 'e2e-scaled')?.command;
  expect(words([])).toContain('e2e/roll');
  expect(words(['--only', 'e2e-scaled'])).not.toContain('e2e/roll');
  expect(words(['e2e/edge'])).not.toContain('e2e/roll');
});

test('an unknown step is refused by name', () => {
  expect(() => chooseSteps(['--only', 'units'])).toThrow('no step is called "units"');
});

const reportFile = join(mkdtempSync(join(tmpdir(), 'gatehouse-report-')), 'report.json');
const passed = { name: '/a.test.ts', status: 'passed', message: '', assertionResults: [] };

function tally(exitCode: number, ...files: object[]) {
  writeFileSync(reportFile, JSON.stringify({ numPassedTests: 3, testResults: files }));
  return tallyOf(reportFile, exitCode);
}

test('a run that fails is never counted as passed, whatever its report says', () => {
  expect(tallyOf(join(tmpdir(), 'gatehouse-no-such-report.json'), 1)).toMatchObject({ passed: 0, failed: 1 });
  expect(tally(0, passed)).toEqual({ passed: 3, failed: 0, failures: [] });
  expect(tally(1, passed)).toMatchObject({ passed: 3, failed: 1 });
  expect(tally(1, { ...passed, status: 'failed', message: 'not loaded' })).toMatchObject({ failed: 1 });
});

test('what failed is named with its file and the first line of its reason', () => {
  const name = join(repositoryRoot, 'packages/a.test.ts');
  const assertionResults = [
    { status: 'passed', fullName: 'adds', failureMessages: [] },
    {
      status: 'failed',
      fullName: 'subtracts',
      failureMessages: ['\u001b[31mError: 1 is not 2\u001b[39m\n  at x'],
    },
  ];
  expect(tally(1, { name, status: 'failed', message: '', assertionResults }).failures).toEqual([
    'packages/a.test.ts > subtracts: Error: 1 is not 2',
  ]);
  expect(tally(1, { ...passed, name, status: 'failed', message: 'not loaded\nat x' }).failures).toEqual([
    'packages/a.test.ts: not loaded',
  ]);
});
