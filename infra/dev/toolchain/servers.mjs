import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { everyOnPath, isProgram, run } from './command.mjs';
import { SetupFault } from './fault.mjs';
import { local } from './places.mjs';
import { aptFamily, unpackPrivately } from './private-apt.mjs';

/** The programs that npm does not carry. `.local/<name>.json` says which program is used. */
export const SERVERS = {
  nats: {
    name: 'nats-server',
    setting: 'NATS_SERVER',
    atLeast: [2, 11],
    // Debian's stable releases carry older ones; the program needs nothing but libc.
    suites: (family) => (family.name === 'ubuntu' ? 'devel' : 'forky'),
    choose: () => ['nats-server'],
    path: 'usr/sbin/nats-server',
  },
  // The oldest that is supported: only the tests need it, and without it theirs are skipped, visibly.
  nats210: {
    name: 'nats-server-2.10',
    program: 'nats-server',
    setting: 'NATS_SERVER_210',
    atLeast: [2, 10],
    below: [2, 11],
    optional: true,
    suites: (family) => (family.name === 'ubuntu' ? 'noble' : 'trixie'),
    choose: () => ['nats-server'],
    path: 'usr/sbin/nats-server',
  },
  redis: {
    name: 'redis-server',
    setting: 'REDIS_SERVER',
    atLeast: [7, 0],
    // Of the machine's own release, since it brings shared libraries that must fit the machine's libc.
    suites: (family) => `${family.codename} ${family.codename}-updates`,
    choose: (query) => withLibraries(query, ['redis-server', 'redis-tools']),
    path: 'usr/bin/redis-server',
  },
  // For the tests of what runs beside Gatehouse. Statically linked but for libc: the newest runs on every machine.
  prometheus: {
    name: 'prometheus',
    setting: 'PROMETHEUS',
    atLeast: [3, 0],
    optional: true,
    suites: newest,
    // promtool lies beside it.
    choose: () => ['prometheus', 'promtool'],
    path: 'usr/bin/prometheus',
  },
  kustomize: {
    name: 'kustomize',
    setting: 'KUSTOMIZE',
    atLeast: [5, 0],
    optional: true,
    ask: ['version'],
    // What distributions say of a build of theirs, whose version is not in it.
    unversioned: { says: /\(devel\)/, version: '5.0.0' },
    suites: newest,
    choose: () => ['kustomize'],
    path: 'usr/bin/kustomize',
  },
  // It only reads our compose files: there is no engine to start.
  compose: {
    name: 'docker-compose',
    setting: 'DOCKER_COMPOSE',
    atLeast: [2, 26],
    optional: true,
    ask: ['version'],
    suites: newest,
    choose: () => ['docker-compose'],
    path: 'usr/libexec/docker/cli-plugins/docker-compose',
  },
  // From 1.21 on it knows prepared statements in transaction mode; stable releases carry older ones.
  pgbouncer: {
    name: 'pgbouncer',
    setting: 'PGBOUNCER',
    atLeast: [1, 21],
    optional: true,
    suites: newest,
    // Of a newer release than the machine's: it brings its own libc too, and its loader.
    choose: async (query) => [...(await withLibraries(query, ['pgbouncer'], { recurse: true })), 'libc6'],
    path: 'run-pgbouncer',
    finish: (folder) => writeLoaderScript(folder, 'run-pgbouncer', 'usr/sbin/pgbouncer'),
  },
};

/** The development release: what a stable one carries is years old. */
function newest(family) {
  return family.name === 'ubuntu' ? 'devel' : 'forky';
}

/** Whether the server was found or fetched before, and the program is still the same file. */
export function serverInPlace(server) {
  if (process.env[server.setting]) return false;
  try {
    const known = JSON.parse(readFileSync(recordOf(server), 'utf8'));
    if (known.unavailable) return server.optional === true;
    return isProgram(known.path) && fingerprint(known.path) === known.fingerprint;
  } catch {
    return false;
  }
}

/** Why an optional server is not there; undefined when it is. */
export function whyMissing(server) {
  if (!server.optional || process.env[server.setting]) return undefined;
  try {
    return JSON.parse(readFileSync(recordOf(server), 'utf8')).unavailable;
  } catch {
    return 'it could not be fetched';
  }
}

/** A given program is tried at every start: it is the user's, and cheap to ask. */
export async function checkGivenServer(server) {
  const given = process.env[server.setting];
  if (!given) return;
  const libraries = server === SERVERS.redis ? process.env.REDIS_LIBRARY_PATH : undefined;
  const version = isProgram(given) ? await versionOf(server, given, libraries) : undefined;
  if (!version) throw new SetupFault(`${server.setting} names no ${server.name} that runs: ${given}`);
  if (!isEnough(version, server)) {
    throw new SetupFault(
      `${server.setting} names ${server.name} ${version}, which does not fit: give ${wantedVersion(server)}`,
    );
  }
}

/** Finds the server on the PATH or fetches it from the distribution into `.local/`. */
export async function provideServer(server) {
  let tooOld;
  for (const path of everyOnPath(server.program ?? server.name)) {
    const version = await versionOf(server, path);
    if (version && isEnough(version, server)) {
      record(server, { path, version, fingerprint: fingerprint(path) });
      return `${server.name} ${version} (${path})`;
    }
    tooOld ??= version;
  }
  const family = aptFamily();
  if (!family && server.optional) {
    record(server, { unavailable: 'there is no apt to fetch one with' });
    return `no ${server.name}`;
  }
  if (!family) throw new SetupFault(missing(server, tooOld));
  const version = await unpackPrivately({
    family,
    suites: server.suites(family),
    target: server.name,
    choose: server.choose,
    tryOut: (folder) => tryOut(server, folder, family),
  });
  const places = placesIn(server, join(local, server.name), version);
  record(server, { ...places, fingerprint: fingerprint(places.path) });
  return `${server.name} ${version}`;
}

function missing(server, tooOld) {
  const wanted = `${server.name} ${wantedVersion(server)}`;
  const cause = tooOld ? `${server.name} ${tooOld} on the PATH does not fit` : `${server.name} was not found`;
  return `${cause}, and there is no apt to fetch one with: install ${wanted}, or point ${server.setting} at one`;
}

async function tryOut(server, folder, family) {
  server.finish?.(folder);
  const places = placesIn(server, folder);
  const version = isProgram(places.path)
    ? await versionOf(server, places.path, places.libraryPath)
    : undefined;
  if (version && isEnough(version, server)) return version;
  const cause = version ? `is ${version}, which does not fit` : 'does not run on this machine';
  throw new SetupFault(
    `the ${server.name} of ${family.name} (${server.suites(family)}) ${cause}: install ${wantedVersion(server)}, or point ${server.setting} at one`,
  );
}

function placesIn(server, folder, version) {
  const path = join(folder, server.path);
  if (server !== SERVERS.redis) return { path, version };
  return { path, libraryPath: join(folder, 'usr/lib', machineTriplet()), version };
}

/** The programs and what they link to, but not libc itself: that one must be the machine's. */
async function withLibraries(query, programs, { recurse = false } = {}) {
  const options = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'];
  const dependencies = async (names, more) => {
    const output = await query(['depends', ...options.map((name) => `--no-${name}`), ...more, ...names]);
    return [...output.matchAll(/^\s*\|?(?:Pre)?Depends: ([a-z0-9.+-]+)$/gm)]
      .map((match) => match[1])
      .filter((name) => /^(lib|lua|zlib)/.test(name) && name !== 'libc6');
  };
  const direct = await dependencies(programs, []);
  const deeper = recurse ? await dependencies(direct, ['--recurse']) : [];
  return [...new Set([...programs, ...direct, ...deeper])];
}

/** A program with a libc of its own is started by that libc's loader; the script finds both beside itself. */
function writeLoaderScript(folder, name, program) {
  const libraries = `$here/usr/lib/${machineTriplet()}`;
  const script = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "${libraries}/${LOADERS[process.arch]}" --library-path "${libraries}" "$here/${program}" "$@"
`;
  writeFileSync(join(folder, name), script, { mode: 0o755 });
}

const LOADERS = { x64: 'ld-linux-x86-64.so.2', arm64: 'ld-linux-aarch64.so.1' };

function machineTriplet() {
  return `${{ x64: 'x86_64', arm64: 'aarch64' }[process.arch] ?? process.arch}-linux-gnu`;
}

async function versionOf(server, path, libraryPath) {
  const env = libraryPath ? { LD_LIBRARY_PATH: libraryPath } : {};
  const { code, output } = await run(path, server.ask ?? ['--version'], { env, timeoutMs: 10_000 });
  if (code !== 0) return undefined;
  if (server.unversioned?.says.test(output)) return server.unversioned.version;
  return /(?:^|[^\d.])(\d+\.\d+\.\d+)/.exec(output)?.[1];
}

function isEnough(version, server) {
  const [major, minor] = version.split('.').map(Number);
  const reaches = ([wantedMajor, wantedMinor]) =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  return reaches(server.atLeast) && !(server.below && reaches(server.below));
}

function wantedVersion(server) {
  const least = server.atLeast.join('.');
  return server.below ? `a ${least}` : `${least} or newer`;
}

function recordOf(server) {
  return join(local, `${server.name}.json`);
}

function record(server, found) {
  const file = recordOf(server);
  const fresh = `${file}.new-${process.pid}`;
  writeFileSync(fresh, `${JSON.stringify(found)}\n`);
  renameSync(fresh, file);
  rmSync(fresh, { force: true });
}

function fingerprint(path) {
  const { size, mtimeMs } = statSync(path);
  return `${size}-${mtimeMs}`;
}
