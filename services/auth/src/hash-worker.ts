import { hashSync, verifySync } from '@node-rs/argon2';

/** What the hasher asks of a worker thread. */
export type HashTask =
  | {
      readonly kind: 'hash';
      readonly password: string;
      readonly memoryKib: number;
      readonly iterations: number;
      readonly parallelism: number;
      readonly pepper: Uint8Array | undefined;
    }
  | {
      readonly kind: 'verify';
      readonly password: string;
      readonly phc: string;
      readonly pepper: Uint8Array | undefined;
    };

/**
 * Runs in a thread of its own, at lower priority. The synchronous calls are on purpose: the asynchronous ones would
 * go to libuv's pool of four, where token signing waits behind them.
 */
export default function work(task: HashTask): string | boolean {
  const secret = task.pepper ? { secret: task.pepper } : {};
  if (task.kind === 'verify') return verifySync(task.phc, task.password, secret);
  return hashSync(task.password, {
    memoryCost: task.memoryKib,
    timeCost: task.iterations,
    parallelism: task.parallelism,
    ...secret,
  });
}
