import type { Command } from 'commander';
import { Api, type Json, Refusal } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { examples } from '../nats/change.ts';
import { type Globals, show, showObject, showRows } from '../output.ts';

const path = '/api/admin/dead-letters';
const columns = ['id', 'created_at', 'service', 'consumer', 'type', 'deliveries', 'replayed_at', 'reason'];
const PAGE = '200';

interface Which extends Globals {
  readonly service?: string;
  readonly consumer?: string;
}

interface ListOptions extends Which {
  readonly replayed?: string;
  readonly limit: string;
}

interface ReplayOptions extends Which {
  readonly all?: boolean;
  readonly reason: string;
  readonly yes?: boolean;
}

interface Letter extends Json {
  readonly id: string;
  readonly consumer: string;
  readonly type: string;
}

/** `gatehouse dead-letters list|show|replay`: events that a consumer gave up on. */
export function addDeadLetters(program: Command): void {
  const letters = program.command('dead-letters').description('events that a consumer gave up on');
  addList(letters);
  addShow(letters);
  addReplay(letters);
}

const which = (command: Command): Command =>
  command
    .option('--service <name>', 'only of this service')
    .option('--consumer <name>', 'only what this consumer gave up on');

function addList(letters: Command): void {
  examples(
    which(letters.command('list').description('those that wait, the newest first'))
      .option('--replayed <which>', 'false: those that wait; true: those that were replayed; any', 'false')
      .option('--limit <n>', 'at most this many', '1000'),
    'dead-letters list',
    'dead-letters list --consumer audit-record --replayed any',
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

function addReplay(letters: Command): void {
  examples(
    which(
      letters
        .command('replay')
        .argument('[id]', 'which one; or --all')
        .description('put one, or all that wait, before the consumer again'),
    )
      .option('--all', 'every one that waits')
      .requiredOption('--reason <text>', 'why; kept in the audit')
      .option('--yes', 'do not ask'),
    'dead-letters replay 0198c5c0-0000-7000-8000-000000000000 --reason "disk was full"',
    'dead-letters replay --all --consumer audit-record --reason "disk was full" --yes',
  ).action(async (id: string | undefined, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ReplayOptions>();
    if ((id === undefined) === (options.all !== true)) throw new Fault('name one by its id, or say --all', 2);
    const api = new Api(options.url);
    if (id !== undefined) {
      const letter = (await replay(api, id, options.reason)) as Letter;
      show(options, letter, `${id}: ${letter.consumer} has taken the ${letter.type}`);
      return;
    }
    if (!options.yes && !process.stdin.isTTY) await confirm('Replay every dead letter?', false);
    await replayAll(api, options);
  });
}

const replay = (api: Api, id: string, reason: string): Promise<Json> =>
  api.request('POST', `${path}/${encodeURIComponent(id)}/replay`, { reason });

/** The oldest first, as they came; one that fails again does not stop the others. */
async function replayAll(api: Api, options: ReplayOptions): Promise<void> {
  const { items, unreachable } = await lettersOf(api, { ...options, replayed: 'false' });
  warn(unreachable);
  if (items.length > 0) await confirm(`Replay ${items.length} dead letters?`, options.yes);
  const replayed: string[] = [];
  const failed: { id: string; code: string; message: string }[] = [];
  for (const { id } of items.toReversed()) {
    try {
      await replay(api, id, options.reason);
      replayed.push(id);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      // Somebody else was faster: what was wanted has happened.
      if (error.code !== 'already_replayed') failed.push({ id, code: error.code, message: error.message });
    }
  }
  show(options, { replayed, failed }, `${replayed.length} of ${items.length} replayed`);
  if (failed.length > 0)
    throw new Fault(
      `${failed.length} were refused again`,
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
  { service, consumer, replayed }: Which & { readonly replayed?: string },
  max = Number.POSITIVE_INFINITY,
): Promise<FoundLetters> {
  const items: Letter[] = [];
  const unreachable = new Set<string>();
  let cursor: unknown;
  do {
    const asked = Object.entries({ service, consumer, replayed, limit: PAGE, cursor });
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
