import type { Command } from 'commander';
import { Fault } from '../fault.ts';
import { show } from '../output.ts';

interface InitOptions {
  readonly out: string;
  readonly resolverDir: string;
}

/** `gatehouse bus init`: works on files only; nothing has to run yet. */
export function addBus(program: Command): void {
  const bus = program
    .command('bus')
    .description('the bus that the services of this installation speak over, before its first start');
  bus
    .command('init')
    .description(
      'make its operator, accounts and one user a service; without effect when the folder holds them already',
    )
    .requiredOption(
      '--out <folder>',
      'the folder: creds/<process> for NATS_CREDS, private/bundle.json for NATS_BUS_BUNDLE, server/bus.conf for nats-server',
    )
    .option('--resolver-dir <folder>', 'where nats-server keeps its accounts; must outlive it', '/data/jwt')
    .addHelpText('after', '\nExample:\n  gatehouse bus init --out /srv/gatehouse/bus\n')
    .action(async (options: InitOptions, command: Command) => {
      const files = await init(options);
      const { credsFolder: creds, bundleFile: bundle } = files;
      show(command.optsWithGlobals(), { creds, bundle }, `${options.out} holds the bus`);
    });
}

async function init({ out, resolverDir }: InitOptions) {
  // Loaded only here: it brings the rules of all NATS claims with it.
  const { openBusMounts } = await import('@gatehouse/embedded/bus-files');
  try {
    return openBusMounts(out, resolverDir);
  } catch (error) {
    throw new Fault(error instanceof Error ? error.message : 'the bus could not be made');
  }
}
