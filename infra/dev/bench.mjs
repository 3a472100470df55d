// npm run bench. Sets up as npm test does and measures the platform beside the raw limits of the same run.
import { runMain } from './toolchain/fault.mjs';

const help = `npm run bench                        every measurement, about half an hour
npm run bench -- refresh login       only these: refresh, login, http, revocation, audit, audit-search, audit-export, ingest, footprint, nats-credentials, nats-sync
npm run bench -- --seconds 5         length of each load (default 10)
npm run bench -- --json              the table as JSON too
`;

await runMain(async () => {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return 0;
  }
  const { prepareToolchain } = await import('./toolchain/prepare.mjs');
  const { launch } = await import('./launch.mjs');
  const { node } = await prepareToolchain({ servers: ['nats', 'redis'] });
  return launch(node, 'bench/main.ts', args);
});
