// npm run gatehouse -- <command>: the command line, told where the local installation is when nothing else is said.
import { join } from 'node:path';
import { installationHome, readJson, secretsFile, stackFile } from './installation-home.mjs';
import { launchFile } from './launch.mjs';
import { runMain } from './toolchain/fault.mjs';
import { root } from './toolchain/places.mjs';
import { prepareToolchain } from './toolchain/prepare.mjs';

await runMain(async () => {
  const { node } = await prepareToolchain({ servers: [] });
  Object.assign(process.env, localSettings());
  return launchFile(node, join(root, 'packages/cli/src/main.ts'), process.argv.slice(2));
});

/** Handed on in the environment, never as arguments: every account of the machine can read those. */
function localSettings() {
  const home = installationHome();
  const stack = readStack(stackFile(home));
  const settings = {};
  if (!stack) return settings;
  if (!process.env.GATEHOUSE_URL && stack.gateway) settings.GATEHOUSE_URL = stack.gateway;
  if (!process.env.DATABASE_URL && stack.postgres) {
    const { host, port, database } = stack.postgres;
    const { postgresPassword } = readStack(secretsFile(home)) ?? {};
    if (postgresPassword)
      settings.DATABASE_URL = `postgres://gatehouse:${postgresPassword}@${host}:${port}/${database}`;
  }
  return settings;
}

/** Half-written, foreign or unreadable files are as good as none: the command then says what it misses. */
function readStack(file) {
  try {
    return readJson(file);
  } catch {
    return undefined;
  }
}
