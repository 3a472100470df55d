import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.mjs';
import { SetupFault } from './fault.mjs';
import { local, root } from './places.mjs';
import { explainDownload, PNPM_VERSION } from './runtime.mjs';

const STAMP = join(local, 'packages.json');
const LOG = join(local, 'pnpm-install.log');

/** Whether the locked dependencies were installed for exactly these manifests, and are still there. */
export function packagesInPlace() {
  try {
    const stamp = JSON.parse(readFileSync(STAMP, 'utf8'));
    return (
      stamp.hash === manifestHash() &&
      existsSync(join(root, 'node_modules/.modules.yaml')) &&
      everyFolderLinked()
    );
  } catch {
    return false;
  }
}

/** Installs what the lockfile says, from a store of this checkout. */
export async function installPackages(pnpm) {
  const hash = manifestHash();
  const patience = [
    '--config.fetch-retries=3',
    '--config.fetch-retry-mintimeout=500',
    '--config.fetch-retry-maxtimeout=4000',
  ];
  const args = [
    'install',
    '--frozen-lockfile',
    '--store-dir',
    join(local, 'store'),
    '--reporter=append-only',
    ...patience,
  ];
  const env = {
    PATH: `${join(local, 'bin')}:${process.env.PATH}`,
    CI: '1', // ask nothing
    npm_config_cache_dir: join(local, 'cache'),
    npm_config_state_dir: join(local, 'state'),
  };
  const { code, output } = await run(pnpm, args, { cwd: root, env });
  writeFileSync(LOG, output);
  if (code !== 0) throw new SetupFault(explain(output));
  writeFileSync(STAMP, `${JSON.stringify({ hash })}\n`);
  return 'packages';
}

function explain(output) {
  if (/OUTDATED_LOCKFILE|FROZEN_LOCKFILE/.test(output)) {
    return 'pnpm-lock.yaml does not fit the package.json files: run .local/bin/pnpm install --store-dir .local/store, and commit the lockfile';
  }
  return `${explainDownload(output, 'pnpm')} (log: ${LOG})`;
}

function manifestHash() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${PNPM_VERSION}\n`);
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json'])
    hash.update(readFileSync(join(root, file)));
  for (const folder of workspaceFolders()) hash.update(readFileSync(join(folder, 'package.json')));
  return hash.digest('hex');
}

function workspaceFolders() {
  const nested = ['packages', 'services'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => join(root, parent, name)),
  );
  const all = [...nested, join(root, 'e2e'), join(root, 'infra/dev'), join(root, 'infra/checks')];
  return all.filter((folder) => existsSync(join(folder, 'package.json'))).sort();
}

function everyFolderLinked() {
  return workspaceFolders().every((folder) => {
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const needs = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
    return needs.every((name) => existsSync(join(folder, 'node_modules', name)));
  });
}
