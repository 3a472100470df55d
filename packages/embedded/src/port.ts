import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedError } from './embedded-error.ts';

// Below Linux' and macOS' ranges for outgoing connections (32768 and 49152 up), so that a server which
// is stopped and started again on its port does not find a client socket sitting there.
const LOWEST = 20_000;
const HIGHEST = 32_000;

/** Whether something could listen on this port of 127.0.0.1 (or `host`) just now. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/** A port of 127.0.0.1 that is free now. Another process may take it first: whoever binds it must be ready to ask again. */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = randomInt(LOWEST, HIGHEST);
    if (await isPortFree(port)) return port;
    await delay(1);
  }
  throw new Error(`no free port between ${LOWEST} and ${HIGHEST}`);
}

// What was stopped a moment ago may still be letting go of its port.
const GRACE_MS = 1_000;

/** The port asked for, if it is free, else an error that names it; without a wish, a free one. */
export async function choosePort(name: string, wanted: number | undefined): Promise<number> {
  if (wanted === undefined) return findFreePort();
  const deadline = performance.now() + GRACE_MS;
  while (!(await isPortFree(wanted))) {
    if (performance.now() > deadline) {
      throw new EmbeddedError(
        `${name} cannot listen on 127.0.0.1:${wanted}: the port is taken; choose another`,
      );
    }
    await delay(50);
  }
  return wanted;
}
