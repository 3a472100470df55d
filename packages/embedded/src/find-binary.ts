import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { EmbeddedError } from './embedded-error.ts';

/** Where a server's program lies, and the folder of shared libraries it needs, if it brings its own. */
export interface Binary {
  path: string;
  libraryPath?: string | undefined;
}

/** The folder of the workspace: programs fetched for it lie in its `.local`. */
export const repositoryRoot: string = resolve(import.meta.dirname, '../../..');

/** nats-server: `NATS_SERVER`, else what `npm start` or `npm test` put into `.local/`, else the PATH. */
export function findNatsServer(): Binary {
  return find({ name: 'nats-server', setting: 'NATS_SERVER', libraries: undefined });
}

/**
 * nats-server 2.10, the oldest that is supported: `NATS_SERVER_210`, else what `npm test` put into `.local/`. Undefined
 * when neither is there: the set-up has said that tests with it are skipped.
 */
export function findNatsServer210(): Binary | undefined {
  return given('NATS_SERVER_210') ?? localTool('nats-server-2.10');
}

/** redis-server: `REDIS_SERVER` (with `REDIS_LIBRARY_PATH`), else `.local/` (after `npm test`), else the PATH. */
export function findRedisServer(): Binary {
  return find({ name: 'redis-server', setting: 'REDIS_SERVER', libraries: 'REDIS_LIBRARY_PATH' });
}

/** prometheus, for tests of rules and dashboards; undefined when the set-up said that theirs are skipped. */
export function findPrometheus(): Binary | undefined {
  return given('PROMETHEUS') ?? localTool('prometheus');
}

/** promtool: beside prometheus. */
export function findPromtool(): Binary | undefined {
  const prometheus = findPrometheus();
  const path = prometheus && join(dirname(prometheus.path), 'promtool');
  return path !== undefined && isProgram(path) ? { path } : undefined;
}

/** kustomize, for tests of the manifests; undefined when the set-up said that they are skipped. */
export function findKustomize(): Binary | undefined {
  return given('KUSTOMIZE') ?? localTool('kustomize');
}

/** Docker Compose, for tests of the compose files; undefined when the set-up said that they are skipped. */
export function findCompose(): Binary | undefined {
  return given('DOCKER_COMPOSE') ?? localTool('docker-compose');
}

/** PgBouncer 1.21 or newer, for tests behind a pooler; undefined when the set-up said that they are skipped. */
export function findPgBouncer(): Binary | undefined {
  return given('PGBOUNCER') ?? localTool('pgbouncer');
}

function find(wanted: { name: string; setting: string; libraries: string | undefined }): Binary {
  const named = given(wanted.setting);
  if (named) {
    const libraries = wanted.libraries === undefined ? undefined : process.env[wanted.libraries];
    return { ...named, libraryPath: libraries || undefined };
  }
  const local = localTool(wanted.name);
  if (local) return local;
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, wanted.name);
    if (folder !== '' && isProgram(path)) return { path };
  }
  throw new EmbeddedError(
    `${wanted.name} was not found: run npm test once, which fetches it, or point ${wanted.setting} at one`,
  );
}

/** The program that a setting names; undefined when it is not set. */
function given(setting: string): Binary | undefined {
  const path = process.env[setting];
  if (!path) return undefined;
  if (!isProgram(path)) throw new EmbeddedError(`${setting} names no program that can be run: ${path}`);
  return { path };
}

/** The toolchain (infra/dev) writes one small JSON file for each program it found or fetched. */
function localTool(name: string): Binary | undefined {
  const file = join(repositoryRoot, '.local', `${name}.json`);
  if (!existsSync(file)) return undefined;
  const { path, libraryPath } = JSON.parse(readFileSync(file, 'utf8')) as Partial<Binary>;
  return path !== undefined && isProgram(path) ? { path, libraryPath } : undefined;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
