import { type Command, Option } from 'commander';
import { Api, type Json, Refusal } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { examples } from '../nats/change.ts';
import { type Globals, show, showObject, showRows } from '../output.ts';

const path = '/api/admin/dead-letters';
const columns = [
  ...['id', 'created_at', 'service', 'consumer', 'type', 'deliveries'],
  ...['replayed_at', 'discarded_at', 'reason'],
];
const states = ['open', 'replayed', 'discarded', 'all'] as const;
const PAGE = '200';

interface Which extends Globals {
  readonly service?: string;
  readonly consumer?: string;
}

interface ListOptions extends Which {
  readonly state?: string;
  readonly replayed?: string;
  readonly limit: string;
}

interface ChangeOptions extends Which {
  readonly all?: boolean;
  readonly reason: string;
  readonly yes?: boolean;
}

interface Letter extends Json {
  readonly id: string;
  readonly consumer: string;
  readonly type: string;
}

/** What can be done with one, or with all that wait. */
interface Change {
  readonly verb: 'replay' | 'discard';
  readonly done: 'replayed' | 'discarded';
  readonly description: string;
  readonly examples: readonly string[];
  /** Asks before this is done to one; before all it is always asked. */
  readonly asks: boolean;
  readonly sentence: (letter: Letter) => string;
  /** Codes that say that somebody else was faster, and what was wanted has happened. */
  readonly settled: ReadonlySet<string>;
  /** What is said of those that were refused. */
  readonly refused: string;
}

const replaying: Change = {
  verb: 'replay',
  done: 'replayed',
  description: 'put one, or all that wait, before the consumer again',
  examples: [
    'dead-letters replay 0198c5c0-0000-7000-8000-000000000000 --reason "disk was full"',
    'dead-letters replay --all --consumer audit-record --reason "disk was full" --yes',
  ],
  asks: false,
  sentence: ({ id, consumer, type }) => `${id}: ${consumer} has taken the ${type}`,
  settled: new Set(['already_replayed']),
  refused: 'were refused again',
};

const discarding: Change = {
  verb: 'discard',
  done: 'discarded',
  description:
    'give one up, or all that wait, that no consumer can ever take; it no longer waits, and is kept for DEAD_LETTER_DAYS',
  examples: [
    'dead-letters discard 0198c5c0-0000-7000-8000-000000000000 --reason "it never was an event"',
    'dead-letters discard --all --service token --consumer gone --reason "this consumer is no more" --yes',
  ],
  asks: true,
  sentence: ({ id, consumer }) => `${id} no longer waits for ${consumer}`,
  settled: new Set(['already_replayed', 'already_discarded']),
  refused: 'were not discarded',
};

/** `gatehouse dead-letters list|show|replay|discard`: events that a consumer gave up on. */
export function addDeadLetters(program: Command): void {
  const letters = program.command('dead-letters').description('events that a consumer gave up on');
  addList(letters);
  addShow(letters);
  addChange(letters, replaying);
  addChange(letters, discarding);
}

const which = (command: Command): Command =>
  command
    .option('--service <name>', 'only of this service')
    .option('--consumer <name>', 'only what this consumer gave up on');

function addList(letters: Command): void {
  examples(
    which(letters.command('list').description('those that wait, the newest first'))
      .addOption(
        new Option('--state <state>', 'open: those that wait, unless said otherwise').choices([...states]),
      )
      .addOption(
        new Option('--replayed <which>', 'an older way to say --state: open, replayed, all')
          .choices(['false', 'true', 'any'])
          .conflicts('state'),
      )
      .option('--limit <n>', 'at most this many', '1000'),
    'dead-letters list',
    'dead-letters list --consumer audit-record --state all',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ListOptions>();
    if (!/^[1-9][0-9]{0,6}$/.test(options.limit)) throw new Fault('--limit must be a whole number from 1', 2);
    const found = await lettersOf(new Api(options.url), options, Number(options.limit));
    showRows(options, found.items, columns);
    if (found.more) console.error('there are more: say --limit, or narrow the search');
    warn(found.unreachable);
  });
}

function addShow(letters: Command): void {
  examples(
    letters.command('show').argument('<id>', 'which one').description('one with its headers and payload'),
    'dead-letters show 0198c5c0-0000-7000-8000-000000000000',
  ).action(async (id: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Globals>();
    showObject(options, await new Api(options.url).request('GET', `${path}/${encodeURIComponent(id)}`));
  });
}

function addChange(letters: Command, change: Change): void {
  const { verb, description, asks, sentence } = change;
  examples(
    which(letters.command(verb).argument('[id]', 'which one; or --all').description(description))
      .option('--all', 'every one that waits')
      .requiredOption('--reason <text>', 'why; kept in the audit')
      .option('--yes', 'do not ask'),
    ...change.examples,
  ).action(async (id: string | undefined, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ChangeOptions>();
    if ((id === undefined) === (options.all !== true)) throw new Fault('name one by its id, or say --all', 2);
    const api = new Api(options.url);
    if (id !== undefined) {
      if (asks) await confirm(`${capital(verb)} the dead letter ${id}?`, options.yes);
      const letter = (await changeOne(api, change, id, options.reason)) as Letter;
      show(options, letter, sentence(letter));
      return;
    }
    if (!options.yes && !process.stdin.isTTY) await confirm(`${capital(verb)} every dead letter?`, false);
    await changeAll(api, change, options);
  });
}

const capital = (word: string): string => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`;

const changeOne = (api: Api, { verb }: Change, id: string, reason: string): Promise<Json> =>
  api.request('POST', `${path}/${encodeURIComponent(id)}/${verb}`, { reason });

/** The oldest first, as they came; one that is refused does not stop the others. */
async function changeAll(api: Api, change: Change, options: ChangeOptions): Promise<void> {
  const { items, unreachable } = await lettersOf(api, options);
  warn(unreachable);
  if (items.length > 0) await confirm(`${capital(change.verb)} ${items.length} dead letters?`, options.yes);
  const done: string[] = [];
  const failed: { id: string; code: string; message: string }[] = [];
  for (const { id } of items.toReversed()) {
    try {
      await changeOne(api, change, id, options.reason);
      done.push(id);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (!change.settled.has(error.code)) failed.push({ id, code: error.code, message: error.message });
    }
  }
  show(options, { [change.done]: done, failed }, `${done.length} of ${items.length} ${change.done}`);
  if (failed.length > 0)
    throw new Fault(
      `${failed.length} ${change.refused}`,
      1,
      failed.map(({ id, message }) => `${id}: ${message}`),
    );
}

interface FoundLetters {
  readonly items: Letter[];
  readonly more: boolean;
  readonly unreachable: readonly string[];
}

async function lettersOf(
  api: Api,
  { service, consumer, state, replayed }: Which & Pick<ListOptions, 'state' | 'replayed'>,
  max = Number.POSITIVE_INFINITY,
): Promise<FoundLetters> {
  const items: Letter[] = [];
  const unreachable = new Set<string>();
  let cursor: unknown;
  do {
    const asked = Object.entries({ service, consumer, state, replayed, limit: PAGE, cursor });
    const query = asked.filter((one): one is [string, string] => typeof one[1] === 'string');
    const page = await api.request('GET', `${path}?${new URLSearchParams(query)}`);
    items.push(...(page.items as Letter[]));
    for (const name of page.unreachable as string[]) unreachable.add(name);
    cursor = page.next_cursor;
  } while (typeof cursor === 'string' && items.length < max);
  return {
    items: items.slice(0, max),
    more: typeof cursor === 'string' || items.length > max,
    unreachable: [...unreachable],
  };
}

function warn(unreachable: readonly string[]): void {
  if (unreachable.length > 0)
    console.error(`${unreachable.join(', ')} did not answer: what is there is missing here`);
}
