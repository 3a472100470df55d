import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { root } from './toolchain/places.mjs';

/** The folder of the installation's state: GATEHOUSE_HOME, seen from the checkout, or `.data` in it. */
export function installationHome() {
  const given = process.env.GATEHOUSE_HOME || '.data';
  return isAbsolute(given) ? given : resolve(root, given);
}

/** Held by the launcher that runs here. */
export const lockFile = (home) => join(home, 'gatehouse.lock');
/** The process that holds the services. */
export const servicesPidFile = (home) => join(home, 'services.pid');
/** Addresses in use, for other programs. */
export const stackFile = (home) => join(home, 'stack.json');
/** The platform's own bus: its operator's public half, the services' credentials, the accounts that its server keeps. */
export const busFolder = (home) => join(home, 'nats');
export const secretsFile = (home) => join(home, 'secrets.json');

/** What a file holds as JSON; undefined when it is not there. */
export function readJson(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}
