import { defineConfig } from 'vitest/config';

const TEST_TIMEOUT_MS = 30_000;
const E2E_TIMEOUT_MS = 120_000;

const ofEveryProject = {
  pool: 'forks',
  // Half of a file's time is waiting, for servers that start and for what is told later.
  maxWorkers: 3,
  testTimeout: TEST_TIMEOUT_MS,
  hookTimeout: TEST_TIMEOUT_MS,
  exclude: ['**/node_modules/**', '.local/**', '.data/**'],
} as const;

/** One project for each mode: the same specs, on one process, on one a service, and on two a service. */
function e2e(mode: 'one' | 'split' | 'scaled') {
  return {
    test: {
      ...ofEveryProject,
      name: `e2e-${mode}`,
      // Some twenty processes each: a third installation would only make the other two wait.
      ...(mode === 'scaled' && { maxWorkers: 2 }),
      include: ['e2e/**/*.e2e.ts'],
      globalSetup: ['infra/dev/test-postgres.ts'],
      env: { GATEHOUSE_MODE: mode },
      testTimeout: E2E_TIMEOUT_MS,
      hookTimeout: E2E_TIMEOUT_MS,
    },
  };
}

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...ofEveryProject,
          name: 'unit',
          include: [
            'packages/**/*.test.ts',
            'services/**/*.test.ts',
            'infra/dev/**/*.test.ts',
            'infra/grafana/**/*.test.ts',
            'infra/deployment/**/*.test.ts',
            'e2e/**/*.test.ts',
          ],
          globalSetup: ['infra/dev/test-postgres.ts'],
        },
      },
      {
        test: {
          ...ofEveryProject,
          name: 'house',
          include: ['infra/checks/**/*.test.ts'],
          globalSetup: ['infra/dev/test-postgres.ts'],
        },
      },
      e2e('one'),
      e2e('split'),
      e2e('scaled'),
    ],
  },
});
