import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { installationHome, lockFile, servicesPidFile } from './installation-home.mjs';
import { SetupFault } from './toolchain/fault.mjs';
import { holderOf } from './toolchain/setup-lock.mjs';

const GRACE_MS = 1_000;

/** Where the gateway listens. @throws SetupFault when PORT is no port */
export function listenAddress() {
  const text = process.env.PORT?.trim() || '8080';
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535)) throw new SetupFault('PORT must be a whole number from 0 to 65535');
  return { host: process.env.HOST?.trim() || '127.0.0.1', port };
}

/** What can be refused before anything is fetched or started. */
export async function refuseEarly() {
  const home = installationHome();
  const address = listenAddress();
  const holder = await holderAfterGrace(lockFile(home));
  if (holder !== undefined) throw new SetupFault(alreadyRuns(home, holder));
  // After kill -9 our own services may still be letting go of the port: the launcher looks again when they have.
  if (!existsSync(servicesPidFile(home))) await refuseTakenPort(address);
}

/** One that was just shot may take a moment to be gone. */
async function holderAfterGrace(file) {
  const deadline = performance.now() + GRACE_MS;
  for (;;) {
    const { pid } = holderOf(file);
    if (pid === undefined || performance.now() > deadline) return pid;
    await delay(50);
  }
}

export const alreadyRuns = (home, pid) =>
  `an installation already runs from ${home} (process ${pid}): stop it first, or give this one its own GATEHOUSE_HOME and PORT`;

/** @throws SetupFault naming the port and the setting */
export async function refuseTakenPort({ host, port }) {
  const fault = await whyNotListen(host, port);
  if (fault === undefined) return;
  if (fault === 'EADDRINUSE')
    throw new SetupFault(
      `port ${port} of ${host} is taken: stop what listens there, or choose another with PORT`,
    );
  if (fault === 'EACCES')
    throw new SetupFault(
      `port ${port} needs more rights than this account has: choose one above 1023 with PORT`,
    );
  throw new SetupFault(`cannot listen on ${host}:${port} (${fault}): check HOST and PORT`);
}

function whyNotListen(host, port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error) => resolve(error.code ?? error.message));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}
