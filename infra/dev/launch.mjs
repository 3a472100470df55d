import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { local, root } from './toolchain/places.mjs';

const PARENT_CHECK_MS = 1_000;

/** Runs a script of this folder under the fetched Node, passes signals on, and resolves with its exit code. */
export function launch(node, script, args) {
  return launchFile(node, join(root, 'infra/dev', script), args);
}

/** The same for any file of the workspace. */
export function launchFile(node, file, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(node, [file, ...args], {
      // The channel carries nothing: its end tells the script that we were killed without a word.
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: {
        // Compiled code, types stripped, is kept between runs: a third of a second less for every start.
        NODE_COMPILE_CACHE: join(local, 'compile-cache'),
        ...process.env,
        PATH: `${join(local, 'bin')}${delimiter}${process.env.PATH ?? ''}`,
      },
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    followNpm(() => child.kill('SIGTERM'));
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

/** npm itself may be shot (kill -9): then nobody is left to stop us. A shell that sent us to the background may go. */
function followNpm(onGone) {
  if (process.env.npm_lifecycle_event === undefined || process.platform === 'win32') return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onGone();
  }, PARENT_CHECK_MS);
  timer.unref();
}
