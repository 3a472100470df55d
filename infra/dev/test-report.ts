import { readFileSync } from 'node:fs';

export interface Tally {
  passed: number;
  failed: number;
}

interface FileResult {
  status: string;
  assertionResults: { status: string }[];
}

/**
 * Counts what vitest's JSON report holds. A file that could not even be loaded, and a run that failed without a
 * failed test (an unhandled error, a failed set-up, no report at all), count as one failure each.
 */
export function tallyOf(reportFile: string, exitCode: number): Tally {
  const report = readReport(reportFile);
  const tally = { passed: report?.numPassedTests ?? 0, failed: report?.numFailedTests ?? 0 };
  for (const file of report?.testResults ?? []) {
    const counted = file.assertionResults.some((result) => result.status === 'failed');
    if (file.status === 'failed' && !counted) tally.failed += 1;
  }
  if (exitCode !== 0 && tally.failed === 0) tally.failed = 1;
  return tally;
}

function readReport(
  file: string,
): { numPassedTests: number; numFailedTests: number; testResults: FileResult[] } | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
