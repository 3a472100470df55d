import type { JobDefinition } from './job.ts';
import type { Context } from './service.ts';

/** A job that notices how many runs of it there are at the same moment. */
export interface WatchedJob {
  readonly job: JobDefinition<Context>;
  /** Runs that have ended. */
  runs(): number;
  /** The most that there were at once. */
  most(): number;
}

/** Makes one that may run on one instance at a time, and is due again as soon as it has ended. */
export function watchedJob(): WatchedJob {
  let [inside, most, runs] = [0, 0, 0];
  return {
    job: {
      name: 'alone',
      everySeconds: 0.01,
      instances: 'one',
      async run({ pool }) {
        inside += 1;
        most = Math.max(most, inside);
        await pool.query('select pg_sleep(0.02)');
        inside -= 1;
        runs += 1;
      },
    },
    runs: () => runs,
    most: () => most,
  };
}
