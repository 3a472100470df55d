import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  busCreds,
  busServerConfig,
  decodeJwt,
  makePlatformBus,
  type PublicBus,
  publicBus,
  readPlatformBus,
  readPublicBus,
} from '@gatehouse/nats-claims';
import { EmbeddedError } from './embedded-error.ts';

/** The platform's own bus as it lies in a folder. */
export interface BusFiles {
  /** Lines for the configuration of its servers. */
  readonly config: string;
  /** One `.creds` file a process; what NATS_CREDS names. */
  readonly credsFolder: string;
  /** What NATS_BUS_BUNDLE names: every private key, until the nats-identity service has taken the bus over. */
  readonly bundleFile: string;
}

/** Where the parts of a bus lie. */
interface Layout {
  readonly credsFolder: string;
  readonly credsFile: (service: string) => string;
  readonly bundleFile: string;
  readonly publicFile: string;
}

/**
 * Makes the bus when the folder holds none. First the whole of it is written, in one step; everything else derives from
 * that, and the public half comes last: whoever is killed in between goes on at the next start. Once taken over, the
 * private keys are in the database only.
 */
export function openBusFiles(folder: string, resolverFolder: string = join(folder, 'jwt')): BusFiles {
  const credsFolder = join(folder, 'creds');
  const layout: Layout = {
    credsFolder,
    credsFile: (service) => join(credsFolder, `${service}.creds`),
    bundleFile: join(folder, 'bundle.json'),
    publicFile: join(folder, 'bus.json'),
  };
  return open(layout, resolverFolder);
}

/**
 * Takes over what became of the bus since, when it is still the same one. Returns whether its servers must be started
 * again for it: they read their operator at their start only.
 */
export function followBus(folder: string, now: PublicBus): boolean {
  const file = join(folder, 'bus.json');
  const before = read(file, readPublicBus);
  if (decodeJwt(before.operator_jwt).sub !== decodeJwt(now.operator_jwt).sub) return false;
  if (isDeepStrictEqual(before, now)) return false;
  writeWhole(file, `${JSON.stringify(now, null, 2)}\n`);
  return before.operator_jwt !== now.operator_jwt;
}

/**
 * The same for machines or containers of their own: what each of them mounts is a folder of its own, `creds/<process>`,
 * `server` (with `bus.conf`, to be included by nats-server's configuration) and `private`.
 */
export function openBusMounts(folder: string, resolverFolder: string): BusFiles {
  const credsFolder = join(folder, 'creds');
  const layout: Layout = {
    credsFolder,
    credsFile: (service) => join(credsFolder, service, `${service}.creds`),
    bundleFile: join(folder, 'private/bundle.json'),
    publicFile: join(folder, 'bus.json'),
  };
  const files = open(layout, resolverFolder);
  writeWhole(join(folder, 'server/bus.conf'), files.config);
  return files;
}

function open({ credsFolder, credsFile, bundleFile, publicFile }: Layout, resolverFolder: string): BusFiles {
  if (!existsSync(publicFile)) {
    const made = existsSync(bundleFile) ? read(bundleFile, readPlatformBus) : makePlatformBus();
    if (!existsSync(bundleFile)) writeWhole(bundleFile, JSON.stringify(made));
    for (const [service, text] of busCreds(made)) writeWhole(credsFile(service), text);
    writeWhole(publicFile, `${JSON.stringify(publicBus(made), null, 2)}\n`);
  }
  return {
    config: busServerConfig(read(publicFile, readPublicBus), resolverFolder),
    credsFolder,
    bundleFile,
  };
}

function read<T>(file: string, parse: (text: string) => T): T {
  try {
    return parse(readFileSync(file, 'utf8'));
  } catch {
    throw new EmbeddedError(`${file} is damaged: restore it from a copy`);
  }
}

/** For its owner only, in full or not at all, and on the disk before anything that builds on it. */
function writeWhole(file: string, text: string): void {
  // The same name each time: what somebody who was killed left is overwritten.
  const draft = `${file}.new`;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const descriptor = openSync(draft, 'w', 0o600);
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(draft, file);
}
