import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { onPath, run } from './command.mjs';
import { SetupFault } from './fault.mjs';
import { local } from './places.mjs';

// One list for what differs between the families; where the packages come from, the machine's own sources say.
const FAMILIES = {
  debian: {
    keyring: '/usr/share/keyrings/debian-archive-keyring.gpg',
    components: 'main',
  },
  ubuntu: {
    keyring: '/usr/share/keyrings/ubuntu-archive-keyring.gpg',
    components: 'main universe',
  },
};

/** The distribution's family and code name; undefined where there is no apt. */
export function aptFamily() {
  if (process.platform !== 'linux' || !onPath('apt-get') || !onPath('dpkg-deb') || !onPath('dpkg'))
    return undefined;
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const field = (name) => new RegExp(`^${name}="?([^"\n]*)`, 'm').exec(text)?.[1] ?? '';
  const ids = `${field('ID')} ${field('ID_LIKE')}`;
  const name = /\bubuntu\b/.test(ids) ? 'ubuntu' : 'debian';
  return { name, codename: field('VERSION_CODENAME'), ...FAMILIES[name] };
}

/**
 * Downloads packages of `suites` with apt's own signature checks and unpacks them into `.local/<target>`, touching
 * neither the machine's package lists nor its installed packages; works without root. `choose(query)` names the
 * packages, and may ask the fresh lists. `tryOut(folder)` decides whether the result runs, before it is put in place.
 */
export async function unpackPrivately({ family, suites, target, choose, tryOut }) {
  const work = mkdtempSync(join(local, `${target}.new-`));
  try {
    const env = { APT_CONFIG: await writeSettings(work, family, suites), LC_ALL: 'C' };
    const apt = async (program, args, cwd = work) => {
      const { code, output } = await run(program, args, { cwd, env });
      const broken = code !== 0 || /^(E|Err):/m.test(output);
      if (broken) throw new SetupFault(explain(output, target));
      return output;
    };
    await apt('apt-get', ['-q', 'update']);
    const packages = await choose((args) => apt('apt-cache', args));
    await apt('apt-get', ['-q', 'download', ...packages], join(work, 'debs'));
    for (const file of readdirSync(join(work, 'debs'))) {
      const { code, output } = await run('dpkg-deb', ['-x', join(work, 'debs', file), join(work, 'root')]);
      if (code !== 0)
        throw new SetupFault(
          `the package ${file} cannot be unpacked (${output.trim().split('\n')[0]}): run this again`,
        );
    }
    const result = await tryOut(join(work, 'root'));
    chmodSync(join(work, 'root'), 0o755);
    rmSync(join(local, target), { recursive: true, force: true });
    renameSync(join(work, 'root'), join(local, target));
    return result;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function writeSettings(work, family, suites) {
  for (const folder of [
    'sources.d',
    'conf.d',
    'preferences.d',
    'state/lists/partial',
    'cache/archives/partial',
    'debs',
    'root',
  ]) {
    mkdirSync(join(work, folder), { recursive: true });
  }
  writeFileSync(join(work, 'state/status'), '');
  const { uri, keyring } = machineSource(family);
  const architecture = (await run('dpkg', ['--print-architecture'])).output.trim();
  const source = [
    'Types: deb',
    `URIs: ${uri}`,
    `Suites: ${suites}`,
    `Components: ${family.components}`,
    `Architectures: ${architecture}`,
    `Signed-By: ${keyring}`,
  ];
  writeFileSync(join(work, 'sources.d/private.sources'), `${source.join('\n')}\n`);
  const settings = {
    Dir: '/',
    'Dir::Etc::sourcelist': '/dev/null',
    'Dir::Etc::sourceparts': join(work, 'sources.d'),
    'Dir::Etc::parts': join(work, 'conf.d'),
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': join(work, 'preferences.d'),
    'Dir::State': join(work, 'state'),
    'Dir::State::status': join(work, 'state/status'),
    'Dir::Cache': join(work, 'cache'),
    'Dir::Log': join(work, 'log'),
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
    'APT::Sandbox::User': userInfo().username,
    'Acquire::Languages': 'none',
    'Acquire::GzipIndexes': 'true',
    'Acquire::Retries': '2',
    'Acquire::http::Timeout': '15',
    'Acquire::https::Timeout': '15',
  };
  // Only the machine's rules for fetching (proxy, freshness) are taken over: its hooks are not ours to run.
  const machine = await run('apt-config', ['dump', 'Acquire', '--format', '%F "%v";%n'], {
    env: { APT_CONFIG: undefined },
  });
  const inherited = machine.output.split('\n').filter((line) => /^Acquire::\S+ ".*";$/.test(line));
  const own = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  const file = join(work, 'apt.conf');
  writeFileSync(file, `${[...inherited, ...own].join('\n')}\n`);
  return file;
}

/** The mirror and the keyring this machine uses itself. @throws SetupFault when its sources name none. */
function machineSource(family) {
  const folder = '/etc/apt/sources.list.d';
  const names = existsSync(folder)
    ? readdirSync(folder).filter((name) => /\.(sources|list)$/.test(name))
    : [];
  const files = ['/etc/apt/sources.list', ...names.map((name) => join(folder, name))].filter((file) =>
    existsSync(file),
  );
  for (const file of files) {
    const text = readFileSync(file, 'utf8').replace(/^\s*#.*$/gm, '');
    const uri = /^URIs:\s*(\S+)/m.exec(text)?.[1] ?? /^deb\s+(?:\[[^\]]*\]\s+)?(https?:\S+)/m.exec(text)?.[1];
    if (!uri?.replace(/\/$/, '').endsWith(`/${family.name}`)) continue;
    const keyring = /^Signed-By:\s*(\/\S+)/m.exec(text)?.[1] ?? family.keyring;
    return { uri, keyring };
  }
  throw new SetupFault(
    `apt on this machine names no ${family.name} archive in /etc/apt: add one, or give the server (nats-server by NATS_SERVER, redis-server by REDIS_SERVER)`,
  );
}

function explain(output, target) {
  if (/is not signed|NO_PUBKEY|couldn't be verified|not available/i.test(output)) {
    return `the package lists for ${target} are not signed by a key this machine trusts: install debian-archive-keyring, then run this again`;
  }
  if (/hash sum mismatch|unexpected size|incorrect size/i.test(output))
    return `the download of ${target} came broken: run this again`;
  if (
    /temporary failure resolving|could not resolve|could not connect|connection (failed|refused|timed out)|unable to connect|network is unreachable/i.test(
      output,
    )
  ) {
    return `the package mirror for ${target} cannot be reached: check the network and apt's proxy, then run this again`;
  }
  if (/no space left/i.test(output)) return 'the disk is full: free about 1 GB, then run this again';
  const line = output.split('\n').find((text) => /^(E|Err):/.test(text)) ?? 'apt wrote nothing';
  return `apt could not fetch ${target}: ${line.replace(/^(E|Err): ?/, '')}`;
}
