import type { Command } from 'commander';
import { Api } from '../api.ts';
import { examples } from '../nats/change.ts';
import { type Globals, showJson, showRows } from '../output.ts';

interface Reading {
  readonly services: readonly string[];
  readonly set: boolean;
  readonly source: string;
  readonly value: string | null;
  readonly host: string | null;
}

interface Item {
  readonly name: string;
  readonly secret: boolean;
  readonly drift: boolean;
  readonly readings: readonly Reading[];
}

interface SettingsOptions extends Globals {
  readonly service?: string;
  readonly given?: boolean;
  readonly drift?: boolean;
}

/** `gatehouse settings`: what the processes that run have read. */
export function addSettings(program: Command): void {
  examples(
    program
      .command('settings')
      .description('the settings in force, per service; secrets only as set or not set')
      .option('--service <name>', 'only of this service')
      .option('--given', 'only what was given; no defaults')
      .option('--drift', 'only what services read differently'),
    'settings',
    'settings --service token --given',
    'settings --drift',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<SettingsOptions>();
    const query =
      options.service === undefined ? '' : `?${new URLSearchParams({ service: options.service })}`;
    const answer = await new Api(options.url).request('GET', `/api/admin/settings${query}`);
    const { items, unreachable } = answer as unknown as { items: Item[]; unreachable: string[] };
    const wanted = items
      .filter(({ drift }) => !options.drift || drift)
      .filter(({ readings }) => !options.given || readings.some(({ set }) => set));
    if (options.json) showJson(wanted);
    else showRows(options, wanted.flatMap(rowsOf), ['name', 'value', 'source', 'services', 'drift']);
    if (unreachable.length > 0)
      console.error(`${unreachable.join(', ')} did not answer: what is read there is missing here`);
  });
}

const rowsOf = ({ name, secret, drift, readings }: Item) =>
  readings.map((reading) => ({
    name,
    value: secret ? secretOf(reading) : reading.value,
    source: reading.source,
    services: reading.services.join(', '),
    drift: drift ? 'drift' : '',
  }));

function secretOf({ set, host }: Reading): string {
  if (!set) return '(not set)';
  return host === null ? '(set)' : `(set, at ${host})`;
}
