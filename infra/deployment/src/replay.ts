import { spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
} from 'node:fs';
import { delimiter, dirname, join, posix } from 'node:path';
import { layContext } from './build-context.ts';
import { assignments, type Dockerfile, execForm, expand, type Stage, type Step } from './dockerfile.ts';
import { layBase, runIn, type Sandbox } from './sandbox.ts';

/** What came out of a Dockerfile. */
export interface Image extends Sandbox {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly uid: number;
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string | undefined;
}

/** Where a build is carried out. */
export interface Build {
  /** An empty folder. */
  readonly folder: string;
  readonly repository: string;
  readonly ignoreFile: string;
}

interface Machine extends Build {
  readonly context: string;
  readonly stages: Map<string, Sandbox>;
  readonly globals: Readonly<Record<string, string>>;
}

interface State extends Sandbox {
  env: Record<string, string>;
  args: Record<string, string>;
  cwd: string;
  uid: number;
  command: readonly string[];
  healthcheck: readonly string[];
  labels: Record<string, string>;
  stopSignal: string | undefined;
}

/** Carries a Dockerfile out, a step at a time, on the machine's programs in place of the base image's. */
export async function replay(dockerfile: Dockerfile, build: Build): Promise<Image> {
  const context = join(build.folder, 'context');
  layContext(build.repository, build.ignoreFile, context);
  const machine: Machine = { ...build, context, stages: new Map(), globals: dockerfile.args };
  let image: Image | undefined;
  for (const [index, stage] of dockerfile.stages.entries()) {
    const made = await replayStage(stage, index, machine);
    machine.stages.set(stage.name ?? String(index), made);
    image = made;
  }
  if (image === undefined) throw new Error('the Dockerfile has no stage');
  return image;
}

async function replayStage(stage: Stage, index: number, machine: Machine): Promise<Image> {
  const folder = join(machine.folder, `stage-${index}`);
  const box = { root: join(folder, 'root'), usrLocal: join(folder, 'usr-local') };
  mkdirSync(box.root, { recursive: true });
  layBase(box);
  layNode(box.usrLocal);
  const state: State = {
    ...box,
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    ...{ args: {}, cwd: '/', uid: 0, command: [], healthcheck: [], labels: {}, stopSignal: undefined },
  };
  for (const step of stage.steps) await carryOut(step, state, machine);
  return state;
}

/** What an official Node image has in /usr/local: Node itself, and npm. Links: a step may remove them. */
function layNode(usrLocal: string): void {
  mkdirSync(join(usrLocal, 'bin'), { recursive: true });
  mkdirSync(join(usrLocal, 'lib/node_modules'), { recursive: true });
  lay(process.execPath, join(usrLocal, 'bin/node'));
  lay(npmFolder(), join(usrLocal, 'lib/node_modules/npm'));
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(usrLocal, 'bin/npm'));
}

/** The same as hard links where the file system allows it, else as a copy: thousands of files, and nothing is edited. */
function lay(source: string, target: string): void {
  const { status } = spawnSync('cp', ['-RPl', '--preserve=mode', source, target]);
  if (status === 0) return;
  const { status: copied, stderr } = spawnSync('cp', ['-RPf', '--preserve=mode', source, target], {
    encoding: 'utf8',
  });
  if (copied !== 0) throw new Error(stderr);
}

function npmFolder(): string {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const program = join(folder, 'npm');
    if (!existsSync(program)) continue;
    const found = dirname(dirname(realpathSync(program)));
    if (existsSync(join(found, 'bin/npm-cli.js'))) return found;
  }
  throw new Error('npm was not found on the PATH');
}

async function carryOut(step: Step, state: State, machine: Machine): Promise<void> {
  const { env, args } = state;
  const text = step.keyword === 'RUN' ? step.text : expand(step.text, { ...args, ...env });
  const words = text.split(/\s+/);
  if (step.keyword === 'ARG') declare(text, state, machine);
  else if (step.keyword === 'ENV') Object.assign(env, assignments(text));
  else if (step.keyword === 'LABEL') Object.assign(state.labels, assignments(text));
  else if (step.keyword === 'WORKDIR') enter(state, posix.resolve(state.cwd, text));
  else if (step.keyword === 'USER') state.uid = Number(words[0]?.split(':')[0]);
  else if (step.keyword === 'STOPSIGNAL') state.stopSignal = text;
  else if (step.keyword === 'CMD') state.command = execForm(text) ?? ['/bin/sh', '-c', text];
  else if (step.keyword === 'HEALTHCHECK') state.healthcheck = execForm(text.replace(/^CMD\s+/, '')) ?? [];
  else if (step.keyword === 'COPY') copy(step, words, { state, machine });
  else if (step.keyword === 'RUN') await runStep(step, state, machine);
  else if (step.keyword === 'ENTRYPOINT' && execForm(text)?.length === 0) return;
  else if (step.keyword !== 'EXPOSE') throw new Error(`line ${step.line}: ${step.keyword} is not replayed`);
}

function declare(text: string, { args }: State, { globals }: Machine): void {
  const [name = ''] = text.split('=');
  args[name] = assignments(text)[name] ?? globals[name] ?? '';
}

function enter(state: State, folder: string): void {
  mkdirSync(join(state.root, folder), { recursive: true });
  state.cwd = folder;
}

function copy(step: Step, words: string[], on: { state: State; machine: Machine }): void {
  const { from } = step.flags;
  const unknown = Object.keys(step.flags).filter((flag) => flag !== 'from');
  if (unknown.length > 0) throw new Error(`line ${step.line}: COPY --${unknown[0]} is not replayed`);
  const stage = from === undefined ? undefined : on.machine.stages.get(from);
  if (from !== undefined && stage === undefined) throw new Error(`line ${step.line}: no stage ${from}`);
  const target = placeIn(on.state, posix.resolve(on.state.cwd, words.at(-1) ?? ''));
  for (const source of words.slice(0, -1)) {
    const path = stage ? placeIn(stage, source) : join(on.machine.context, source);
    mkdirSync(target, { recursive: true });
    lay(`${path}/.`, target);
  }
}

function placeIn(box: Sandbox, path: string): string {
  const local = posix.relative('/usr/local', path);
  return local.startsWith('..') ? join(box.root, path) : join(box.usrLocal, local);
}

async function runStep(step: Step, state: State, machine: Machine): Promise<void> {
  const command = execForm(step.text) ?? ['/bin/sh', '-c', step.text];
  const env = /npm install /.test(step.text) ? registryAccess(state, machine) : {};
  // Its own folder, as the base image has made it.
  if (state.uid !== 0) giveHome(state);
  const { code, output } = await runIn(state, {
    command,
    uid: state.uid,
    cwd: state.cwd,
    readOnly: false,
    env: { HOME: state.uid === 0 ? '/root' : '/home/node', ...env, ...state.args, ...state.env },
  });
  if (code !== 0) throw new Error(`line ${step.line} of the Dockerfile ended with ${code}:\n${output}`);
}

function giveHome({ root, uid }: State): void {
  const home = join(root, 'home/node');
  if (process.getuid?.() === 0) chownSync(home, uid, uid);
  chmodSync(home, 0o755);
}

/** How this machine reaches its registry, and the packages that it has already: an engine has both of its own. */
function registryAccess({ root }: State, { repository }: Machine): Record<string, string> {
  const env: Record<string, string> = {
    pnpm_config_store_dir: '/var/pnpm-store',
    npm_config_update_notifier: 'false',
  };
  const store = join(root, 'var/pnpm-store/v11');
  const known = join(repository, '.local/store/v11');
  if (existsSync(known) && !existsSync(store)) {
    mkdirSync(store, { recursive: true });
    lay(join(known, 'files'), store);
    // It is written to, so it must not be the one of the checkout.
    copyFileSync(join(known, 'index.db'), join(store, 'index.db'));
  }
  for (const [name, value] of Object.entries(process.env))
    if (value !== undefined && /^(?:npm_config_registry|https?_proxy|no_proxy)$/i.test(name))
      env[name] = value;
  const authority = process.env.NODE_EXTRA_CA_CERTS;
  if (authority !== undefined && existsSync(authority)) {
    copyFileSync(authority, join(root, 'etc/authority.pem'));
    env.NODE_EXTRA_CA_CERTS = '/etc/authority.pem';
    env.SSL_CERT_FILE = '/etc/authority.pem';
  }
  const settings = join(process.env.HOME ?? '/', '.npmrc');
  if (existsSync(settings)) copyFileSync(settings, join(root, 'root/.npmrc'));
  return env;
}

/** The number of bytes of a folder's files. */
export function bytesBelow(folder: string): number {
  const { stdout } = spawnSync('du', ['-sb', folder], { encoding: 'utf8' });
  return Number(stdout.split('\t')[0]);
}

/** The files of a folder, from there; links are not followed. */
export function filesBelow(folder: string): string[] {
  const { stdout } = spawnSync('find', [folder, '-type', 'f', '-printf', '%P\n'], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout.split('\n').filter((path) => path !== '');
}

/**
 * What a layer of an image holds of a folder but the times, which BuildKit sets: of each path its kind, mode, target of
 * a link, and SHA-256 of what a file holds.
 */
export function contentsBelow(folder: string): Map<string, string> {
  const { stdout } = spawnSync('find', [folder, '-printf', '%P\t%y %m %l\n'], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const entries = stdout.split('\n').map((line) => line.split('\t') as [path: string, about: string]);
  return new Map(
    entries
      .filter(([, about]) => about !== undefined)
      .map(([path, about]) => [path, about.startsWith('f') ? about + digestOf(join(folder, path)) : about]),
  );
}

const digestOf = (file: string): string => hash('sha256', readFileSync(file));
