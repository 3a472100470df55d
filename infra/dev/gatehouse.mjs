// npm run gatehouse -- <command>: the command line, told where the local installation is when nothing else is said.
import { join } from 'node:path';
import { busFolder, installationHome, readJson, secretsFile, stackFile } from './installation-home.mjs';
import { launchFile } from './launch.mjs';
import { runMain } from './toolchain/fault.mjs';
import { root } from './toolchain/places.mjs';
import { prepareToolchain } from './toolchain/prepare.mjs';

await runMain(async () => {
  const { node } = await prepareToolchain({ servers: [] });
  Object.assign(process.env, localSettings());
  return launchFile(node, join(root, 'packages/cli/src/main.ts'), process.argv.slice(2));
});

/**
 * What the local installation is made of, for what the environment does not say: the address last of all (a profile goes
 * before it), the rest as its services have it. Handed on in the environment, never as arguments: every account of the
 * machine can read those.
 */
function localSettings() {
  const home = installationHome();
  const stack = readOrNothing(stackFile(home));
  const secrets = readOrNothing(secretsFile(home));
  const settings = { GATEHOUSE_HOME: home, GATEHOUSE_LOCAL_URL: stack?.gateway };
  if (stack?.postgres && secrets?.postgresPassword) {
    const { host, port, database } = stack.postgres;
    settings.DATABASE_URL = `postgres://gatehouse:${secrets.postgresPassword}@${host}:${port}/${database}`;
  }
  if (stack?.nats && !process.env.NATS_URL) {
    settings.NATS_URL = `nats://${stack.nats.host}:${stack.nats.port}`;
    settings.NATS_CREDS = join(busFolder(home), 'creds');
  }
  if (stack && secrets) settings.GATEHOUSE_SECRET = secrets.GATEHOUSE_SECRET;
  // A ring and the name of its key belong together.
  if (stack && secrets && !process.env.ENCRYPTION_KEYS) {
    settings.ENCRYPTION_KEYS = secrets.ENCRYPTION_KEYS;
    settings.ENCRYPTION_CURRENT_KEY_ID = secrets.ENCRYPTION_CURRENT_KEY_ID;
  }
  const missing = Object.entries(settings).filter(([name, value]) => value && !process.env[name]);
  return Object.fromEntries(missing);
}

/** Half-written, foreign or unreadable files are as good as none: the command then says what it misses. */
function readOrNothing(file) {
  try {
    return readJson(file);
  } catch {
    return undefined;
  }
}
