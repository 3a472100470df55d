// Plain JavaScript on purpose: to strip types every thread would load a compiler of its own (measured: 13 MB a thread).
// The synchronous calls are on purpose too: the asynchronous ones would go to libuv's pool of four threads, where the
// signing of tokens waits behind them.
import { hashSync, verifySync } from '@node-rs/argon2';

/** @param {import('./hash.ts').HashTask} task */
export default function work(task) {
  const secret = task.pepper ? { secret: task.pepper } : {};
  if (task.kind === 'verify') return verifySync(task.phc, task.password, secret);
  return hashSync(task.password, {
    memoryCost: task.memoryKib,
    timeCost: task.iterations,
    parallelism: task.parallelism,
    ...secret,
  });
}
