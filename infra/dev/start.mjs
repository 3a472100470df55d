// npm start. Runs on whatever Node the machine has (20 or newer), fetches the rest, and hands over to up.ts.
import { runMain, SetupFault } from './toolchain/fault.mjs';

await runMain(async () => {
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) {
    throw new SetupFault(
      `Node 20 or newer is needed to start, this is ${process.versions.node}: install one from your package manager or nodejs.org`,
    );
  }
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    const { startHelp } = await import('./start-help.mjs');
    process.stdout.write(startHelp);
    return 0;
  }
  const unknown = args.find((arg) => arg !== '--logs');
  if (unknown) throw new SetupFault(`unknown option ${unknown}: see npm start -- --help`);
  const { refuseEarly } = await import('./start-checks.mjs');
  const { prepareToolchain } = await import('./toolchain/prepare.mjs');
  const { launch } = await import('./launch.mjs');
  await refuseEarly();
  const { node } = await prepareToolchain({ servers: process.env.NATS_URL ? [] : ['nats'] });
  return launch(node, 'up.ts', args);
});
