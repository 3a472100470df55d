// npm test. Sets up as npm start does, with a Redis besides, and runs every check.
import { runMain, SetupFault } from './toolchain/fault.mjs';

const help = `npm test                            every check
npm test -- --only unit             one or more steps: types,style,unit,house,e2e-one,e2e-split
npm test -- --only unit kit/outbox  and of those tests the files whose path holds the text
`;

await runMain(async () => {
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) {
    throw new SetupFault(
      `Node 20 or newer is needed to start, this is ${process.versions.node}: install one from your package manager or nodejs.org`,
    );
  }
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return 0;
  }
  const { prepareToolchain } = await import('./toolchain/prepare.mjs');
  const { SERVERS } = await import('./toolchain/servers.mjs');
  const { launch } = await import('./launch.mjs');
  const { node } = await prepareToolchain({ servers: Object.keys(SERVERS) });
  return launch(node, 'check.ts', args);
});
