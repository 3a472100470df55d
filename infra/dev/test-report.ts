import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { repositoryRoot } from '@gatehouse/embedded';

export interface Tally {
  passed: number;
  failed: number;
  /** What failed, a test with its file and the first line of its reason each: the last thing that a run prints. */
  failures: string[];
}

interface FileResult {
  name: string;
  status: string;
  message: string;
  assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
}

interface Report {
  numPassedTests: number;
  testResults: FileResult[];
}

/**
 * Counts what vitest's JSON report holds. A file that could not even be loaded, and a run that failed without a
 * failed test (an unhandled error, a failed set-up, no report at all), count as one failure each.
 */
export function tallyOf(reportFile: string, exitCode: number): Tally {
  const report = readReport(reportFile);
  const failures = (report?.testResults ?? []).flatMap(failuresOf);
  if (exitCode !== 0 && failures.length === 0) failures.push(`ended with exit code ${exitCode}, see above`);
  return { passed: report?.numPassedTests ?? 0, failed: failures.length, failures };
}

function failuresOf(file: FileResult): string[] {
  const path = relative(repositoryRoot, file.name);
  const failed = file.assertionResults
    .filter((result) => result.status === 'failed')
    .map((result) => `${path} > ${result.fullName}: ${firstLine(result.failureMessages[0])}`);
  if (file.status === 'failed' && failed.length === 0) return [`${path}: ${firstLine(file.message)}`];
  return failed;
}

function firstLine(message = ''): string {
  return stripVTControlCharacters(message).trim().split('\n', 1)[0] ?? '';
}

function readReport(file: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
