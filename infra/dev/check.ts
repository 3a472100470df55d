import { type ChildProcess, spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { findNatsServer, findRedisServer, repositoryRoot, temporaryHome } from '@gatehouse/embedded';
import { chooseSteps, type Step } from './check-steps.ts';
import { makeTemplate, startTestPostgres } from './test-postgres.ts';
import { type Tally, tallyOf } from './test-report.ts';
import { runMain, SetupFault } from './toolchain/fault.mjs';

/**
 * The second half of `npm test`, under Node 24: one Postgres and one migrated template for the whole run, then every
 * step, going on after a failed one. The last line is `N passed, N failed`: every test, and every other step as one.
 */
const home = temporaryHome('gatehouse-check-');
let running: ChildProcess | undefined;
let interrupted = false;

await runMain(main);
process.exit();

async function main(): Promise<number> {
  const { chosen, filters } = choose();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  process.once('disconnect', interrupt);
  const postgres = chosen.some((step) => step.tests) ? await startTestPostgres() : undefined;
  const total: Tally = { passed: 0, failed: 0, failures: [] };
  try {
    const env = await environmentFor(postgres);
    for (const step of chosen) {
      if (interrupted) break;
      const tally = await runStep(step, filters, env);
      total.passed += tally.passed;
      total.failed += tally.failed;
      total.failures.push(...tally.failures.map((failure) => `${step.name}: ${failure}`));
    }
  } finally {
    await postgres?.stop();
    home.remove();
  }
  if (interrupted) return 130;
  console.log(['', ...total.failures.map((failure) => `Failed: ${failure}`)].join('\n'));
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 ? 1 : 0;
}

function choose(): ReturnType<typeof chooseSteps> {
  try {
    return chooseSteps(process.argv.slice(2));
  } catch (error) {
    throw new SetupFault(error instanceof Error ? error.message : String(error));
  }
}

async function environmentFor(
  postgres: Awaited<ReturnType<typeof startTestPostgres>> | undefined,
): Promise<Record<string, string | undefined>> {
  const redis = findRedisServer();
  return {
    ...process.env,
    // Only our own programs: turbo and vitest start others by name.
    PATH: [
      join(repositoryRoot, '.local/bin'),
      join(repositoryRoot, 'node_modules/.bin'),
      process.env.PATH,
    ].join(delimiter),
    NATS_SERVER: findNatsServer().path,
    REDIS_SERVER: redis.path,
    REDIS_LIBRARY_PATH: redis.libraryPath,
    ...(postgres && {
      TEST_POSTGRES_URL: postgres.url,
      TEST_POSTGRES_LOG: postgres.logFile,
      TEST_TEMPLATE_DATABASE: await makeTemplate(postgres.url),
    }),
    TURBO_TELEMETRY_DISABLED: '1',
    DO_NOT_TRACK: '1',
    // Settings of the user's own installation must not leak into the tests.
    DATABASE_URL: undefined,
    NATS_URL: undefined,
    RATE_LIMIT_REDIS_URL: undefined,
    GATEHOUSE_HOME: undefined,
    PORT: undefined,
    NODE_ENV: undefined,
  };
}

async function runStep(
  step: Step,
  filters: string[],
  env: Record<string, string | undefined>,
): Promise<Tally> {
  console.log(`\n== ${step.heading}`);
  const since = performance.now();
  const report = join(home.path, `${step.name}.json`);
  const [program, ...args] = step.command;
  if (step.tests)
    args.push(...filters, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`);
  const code = await runProgram(program, args, env);
  const tally = step.tests ? tallyOf(report, code) : tallyOfProgram(code);
  const seconds = ((performance.now() - since) / 1000).toFixed(1);
  console.log(`-- ${step.name}: ${tally.passed} passed, ${tally.failed} failed in ${seconds} s`);
  return tally;
}

function tallyOfProgram(code: number): Tally {
  if (code === 0) return { passed: 1, failed: 0, failures: [] };
  return { passed: 0, failed: 1, failures: [`ended with exit code ${code}, see above`] };
}

function runProgram(
  program: string,
  args: string[],
  env: Record<string, string | undefined>,
): Promise<number> {
  return new Promise((resolve) => {
    const path = join(repositoryRoot, 'node_modules/.bin', program);
    running = spawn(path, args, { stdio: ['ignore', 'inherit', 'inherit'], cwd: repositoryRoot, env });
    running.once('error', (error) => {
      console.log(`${program} cannot be run: ${error.message}`);
      resolve(1);
    });
    running.once('exit', (code) => resolve(code ?? 1));
  });
}

function interrupt(): void {
  interrupted = true;
  running?.kill('SIGTERM');
}
