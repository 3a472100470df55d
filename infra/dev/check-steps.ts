/** One check of `npm test`. */
export interface Step {
  name: string;
  heading: string;
  /** A program of node_modules/.bin and its arguments. */
  command: [program: string, ...args: string[]];
  /** Whether it is a vitest project, whose tests are counted one by one and may be picked by path. */
  tests: boolean;
  /** The test files that a run of everything takes of it; `--only` with its name takes all. */
  sample?: readonly string[];
}

const vitest = (project: string, heading: string): Step => ({
  name: project,
  heading,
  command: ['vitest', 'run', '--project', project, '--passWithNoTests'],
  tests: true,
});

/**
 * What two instances of each service, three nats-servers, a pooler and a Redis may break that one of each does not:
 * what is spent once, what is switched off, what is known in memory, the audit's chains, and instances that come and go.
 */
const scaledSample = ['guide-004', 'tokens', 'one-time', 'switched-off', 'audit.e2e', 'nats-bus', 'roll'];

/** In the order of what they cost. */
export const steps: Step[] = [
  {
    name: 'types',
    heading: 'Types (TypeScript, every package)',
    // As one program: a package of its own reads the sources of all that it imports again, in five times the time.
    command: ['tsc', '--project', 'infra/dev/tsconfig.everything.json'],
    tests: false,
  },
  { name: 'style', heading: 'Style (Biome)', command: ['biome', 'check', '.'], tests: false },
  vitest('house', 'House rules'),
  vitest('unit', 'Unit and integration tests (Postgres, NATS, Redis)'),
  vitest('e2e-one', 'End to end, all services in one process'),
  vitest('e2e-split', 'End to end, one process a service'),
  {
    ...vitest('e2e-scaled', 'End to end, two processes a service on a cluster'),
    sample: scaledSample.map((name) => `e2e/${name}`),
  },
];

/** `--only a,b` (or `--only=a,b`) picks steps; every other word picks test files by path. Throws on an unknown step. */
export function chooseSteps(args: readonly string[]): { chosen: Step[]; filters: string[] } {
  const filters: string[] = [];
  const names: string[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? '';
    if (arg === '--only') {
      index += 1;
      names.push(...(args[index] ?? '').split(','));
    } else if (arg.startsWith('--only=')) names.push(...arg.slice('--only='.length).split(','));
    else filters.push(arg);
  }
  const unknown = names.find((name) => !steps.some((step) => step.name === name));
  if (unknown !== undefined) {
    throw new Error(`no step is called "${unknown}": there are ${steps.map((step) => step.name).join(', ')}`);
  }
  const wanted = steps.filter((step) => names.length === 0 || names.includes(step.name));
  // A path says that tests are meant: the other steps know no paths.
  if (filters.length > 0) return { chosen: wanted.filter((step) => step.tests), filters };
  const chosen = wanted.map(
    ({ sample = [], ...step }): Step =>
      names.length > 0 ? step : { ...step, command: [...step.command, ...sample] },
  );
  return { chosen, filters };
}
