import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A folder that becomes the root of a process, over the machine's own /usr: what an engine does with an image. */
export interface Sandbox {
  /** Becomes `/`. */
  readonly root: string;
  /** Becomes `/usr/local`, which is where the base image keeps Node. */
  readonly usrLocal: string;
}

/** How a process runs in it. */
export interface SandboxRun {
  readonly command: readonly string[];
  /** 0, or the user of the image. */
  readonly uid: number;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Nothing can be written but in `mounts`. */
  readonly readOnly: boolean;
  /** Folders of this machine (values) at places of the sandbox (keys), writable. */
  readonly mounts?: Readonly<Record<string, string>>;
}

const asRoot = process.getuid?.() === 0;
const SHELL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Why there are no sandboxes here; undefined when there are. They need Linux namespaces, but no privileges. */
export function sandboxFault(): string | undefined {
  if (process.platform !== 'linux') return 'namespaces are a thing of Linux';
  const user = asRoot ? [] : ['--user', '--map-root-user'];
  const probe = 'mount -t tmpfs none /tmp && mount --bind /usr /tmp && mount -o remount,bind,ro /tmp';
  const { status, stderr, error } = spawnSync(
    'unshare',
    [...user, '--mount', '--pid', '--fork', 'sh', '-c', probe],
    { encoding: 'utf8' },
  );
  if (status === 0) return undefined;
  return `this machine lets nobody make namespaces: ${(error?.message ?? stderr).trim().split('\n')[0]}`;
}

/** The parts of the machine that stand for the base image's. Read-only: a step is not to change the machine. */
const OF_THE_MACHINE = ['usr', 'bin', 'sbin', 'lib', 'lib64', 'etc/ssl', 'etc/alternatives'];

/**
 * Makes the mounts and leaves the old root behind. Arguments: root, /usr/local, ro or rw, then `place folder` pairs, an
 * empty word, and the command.
 */
const ENTER = `
set -eu
root=$1 local=$2 mode=$3; shift 3
mount --bind "$root" "$root"
for part in ${OF_THE_MACHINE.join(' ')}; do
  if [ -d "/$part" ]; then
    mkdir -p "$root/$part"
    mount --bind "/$part" "$root/$part"
    mount -o remount,bind,ro "$root/$part"
  fi
done
mount --bind "$local" "$root/usr/local"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
if [ "$mode" = ro ]; then
  mount -o remount,bind,ro "$root/usr/local"
  mount -o remount,bind,ro "$root"
fi
while [ -n "$1" ]; do
  mount --bind "$2" "$root$1"
  shift 2
done
shift
cd "$root"
pivot_root . .
umount -l .
cd /
exec "$@"
`;

/** Starts a process in a sandbox, as process 1 of its own; who ends it must use {@link processOf}. */
export function startIn(box: Sandbox, run: SandboxRun): ChildProcess {
  const mounts = Object.entries(run.mounts ?? {}).flat();
  const words = Object.entries(run.env).map(([name, value]) => `${name}=${value}`);
  const inside = [
    ...userCommand(run.uid),
    ...['env', '-i', ...words, 'sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', run.cwd],
    ...run.command,
  ];
  const user = asRoot ? [] : ['--user', '--map-root-user'];
  const script = ['sh', '-c', ENTER, 'sh', box.root, box.usrLocal, run.readOnly ? 'ro' : 'rw'];
  return spawn(
    'unshare',
    [...user, ...['--mount', '--pid', '--fork', '--kill-child'], ...script, ...mounts, '', ...inside],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: SHELL_PATH } },
  );
}

// Who is not root here has one account to give: inside it is first root's, then the user's.
function userCommand(uid: number): string[] {
  const powerless = ['setpriv', '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all'];
  if (uid === 0) return [];
  return asRoot
    ? [...powerless, `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
    : ['unshare', '--user', `--map-user=${uid}`, `--map-group=${uid}`, ...powerless];
}

/** What a command said, and how it ended. */
export interface Told {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a command in a sandbox to its end. */
export async function runIn(box: Sandbox, run: SandboxRun): Promise<Told> {
  const child = startIn(box, run);
  const output = outputOf(child);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, output: output() };
}

/** Everything that a process has written so far. */
export function outputOf(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  return () => text;
}

/** The process that {@link startIn} is about, as this machine knows it: `unshare` itself passes no signals on. */
export function processOf(child: ChildProcess): number {
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
  return Number(children.trim().split(' ')[0]);
}

/** Folders and files that every base image has. */
export function layBase(box: Sandbox): void {
  for (const folder of ['dev', 'proc', 'tmp', 'root', 'opt', 'etc', 'home/node', 'usr'])
    mkdirSync(join(box.root, folder), { recursive: true });
  for (const name of ['hosts', 'resolv.conf', 'nsswitch.conf', 'ld.so.cache'])
    writeFileSync(join(box.root, 'etc', name), contentOf(`/etc/${name}`));
  writeFileSync(
    join(box.root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/bash\nnode:x:1000:1000::/home/node:/bin/bash\n',
  );
  writeFileSync(join(box.root, 'etc/group'), 'root:x:0:\nnode:x:1000:\n');
}

function contentOf(path: string): Buffer | string {
  try {
    return readFileSync(path);
  } catch {
    return '';
  }
}
