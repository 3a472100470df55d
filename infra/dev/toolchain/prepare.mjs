import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { endActiveCommands } from './command.mjs';
import { SetupFault } from './fault.mjs';
import { installPackages, packagesInPlace } from './packages.mjs';
import { local } from './places.mjs';
import { makeProgress } from './progress.mjs';
import { fetchRuntime, runtimeInPlace } from './runtime.mjs';
import { checkGivenServer, provideServer, SERVERS, serverInPlace, whyMissing } from './servers.mjs';
import { waitForLock } from './setup-lock.mjs';

/**
 * Makes sure that Node, pnpm, the locked packages and the named servers are in `.local/`, fetching in parallel what
 * is missing, and hands back the path of that Node. With everything there it only reads a few files.
 * @param {{ servers: (keyof typeof SERVERS)[] }} wanted
 */
export async function prepareToolchain(wanted) {
  const servers = wanted.servers.map((name) => SERVERS[name]);
  await Promise.all(servers.map(checkGivenServer));
  if (missingParts(servers).length > 0) await underLock(() => fetchMissing(servers));
  for (const server of servers) {
    const why = whyMissing(server);
    if (why) {
      process.stderr.write(
        `gatehouse: tests with ${server.name} are SKIPPED: ${why} (${server.setting} may name one)\n`,
      );
    }
  }
  return runtimeInPlace();
}

function missingParts(servers) {
  const parts = servers.filter((server) => !process.env[server.setting] && !serverInPlace(server));
  if (!runtimeInPlace()) parts.push('runtime');
  if (!packagesInPlace()) parts.push('packages');
  return parts;
}

async function underLock(work) {
  let lock;
  try {
    mkdirSync(local, { recursive: true });
    lock = await waitForLock(join(local, 'setup.lock'), (pid) =>
      process.stderr.write(`gatehouse: waiting for the set-up that process ${pid} is doing\n`),
    );
  } catch (error) {
    throw new SetupFault(
      `cannot write to ${local} (${error.code ?? error.message}): make the checkout yours, or clone it again as this user`,
    );
  }
  const giveUp = (signal) => {
    endActiveCommands();
    removeHalfDone();
    lock.release();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.on('SIGINT', giveUp).on('SIGTERM', giveUp);
  try {
    await work();
  } finally {
    process.off('SIGINT', giveUp).off('SIGTERM', giveUp);
    removeHalfDone();
    lock.release();
  }
}

async function fetchMissing(servers) {
  // The run we waited for may have fetched it all.
  const parts = missingParts(servers);
  if (parts.length === 0) return;
  removeHalfDone(); // of a run that was killed
  const progress = makeProgress();
  progress.say('Setting up (once; about half a minute):');
  const jobs = parts
    .filter((part) => typeof part !== 'string')
    .map((server) => progress.during(server.name, () => provide(server, progress)));
  jobs.push(fetchPackages(parts, progress));
  // The first fault is the one to tell: it ends the other downloads, and what they say then is only an echo.
  let fault;
  const endAll = (error) => {
    fault ??= error;
    endActiveCommands();
  };
  await Promise.all(jobs.map((job) => job.catch(endAll)));
  if (fault) throw fault;
}

/** What is optional and cannot be had ends nothing; it is tried again the next time. */
async function provide(server, progress) {
  try {
    return await provideServer(server);
  } catch (error) {
    if (!server.optional || !(error instanceof SetupFault)) throw error;
    progress.say(`  ${error.message}`);
    return `no ${server.name}`;
  }
}

async function fetchPackages(parts, progress) {
  if (parts.includes('runtime')) await progress.during('Node and pnpm', fetchRuntime);
  const { pnpm } = runtimeInPlace();
  if (parts.includes('packages')) await progress.during('packages', () => installPackages(pnpm));
}

/** Downloads that did not come to their end. Only under the lock: another run's are not ours to remove. */
function removeHalfDone() {
  if (!existsSync(local)) return;
  for (const name of readdirSync(local)) {
    if (!name.includes('.new-')) continue;
    try {
      rmSync(join(local, name), { recursive: true, force: true });
    } catch {
      // The npm of a run that was shot still writes there: it is removed the next time.
    }
  }
}
