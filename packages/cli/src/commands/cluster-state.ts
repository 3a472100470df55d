import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { examples } from '../nats/change.ts';
import { type ListOptions, listing, showList } from '../nats/listing.ts';
import { clusters, find } from '../nats/object.ts';
import { clean, type Globals, showRows } from '../output.ts';

/** A full look at a large cluster takes its time. */
const TIMEOUT_MS = 300_000;

/** `gatehouse cluster sync|diff|health|accounts`: exit code 1 when not all is as it should be. */
export function addClusterState(cluster: Command): void {
  examples(
    cluster
      .command('sync')
      .argument('<cluster>', 'name or id')
      .description(
        'compare every server with what it should hold, bring it there, and prove it; exit code 1 unless all is proven',
      ),
    'cluster sync main',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Globals>();
    await looked(options, { reference, verb: 'sync', method: 'POST' });
  });
  examples(
    cluster
      .command('diff')
      .argument('<cluster>', 'name or id')
      .description(
        'what servers hold otherwise than they should, changing nothing; exit code 1 when anything differs',
      ),
    'cluster diff main',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Globals>();
    await looked(options, { reference, verb: 'diff', method: 'GET' });
  });
  examples(
    cluster
      .command('health')
      .argument('<cluster>', 'name or id')
      .description('how a cluster and each of its servers is; exit code 1 when it is unhealthy'),
    'cluster health main',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    await health(reference, command.optsWithGlobals<Globals>());
  });
  examples(
    listing(
      cluster
        .command('accounts')
        .argument('<cluster>', 'name or id')
        .description('each account on a cluster: what is wanted, and what was proven'),
    ).option('--state <state>', 'in_sync, pending, drifted, unreachable, operator_key_untrusted or refused'),
    'cluster accounts main --state drifted',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ListOptions & { state?: string }>();
    const found = await find(new Api(options.url), clusters, reference);
    await showList(`${clusters.path}/${found.id}/accounts`, options, {
      columns: ['name', 'state', 'account_state', 'proven_at', 'attempts', 'error', 'public_key'],
      filters: async () => ({ state: options.state }),
    });
  });
}

async function health(reference: string, options: Globals): Promise<void> {
  const api = new Api(options.url);
  const found = await find(api, clusters, reference);
  const answer = await api.request('GET', `${clusters.path}/${found.id}/health`);
  if (answer.healthy !== true) process.exitCode = 1;
  if (options.json) {
    console.log(JSON.stringify(answer, null, 2));
    return;
  }
  const { servers_answering, servers_known, checked_at } = answer;
  say(
    options,
    `${found.name}: ${answer.healthy === true ? 'healthy' : 'NOT HEALTHY'}, ${servers_answering} of ${servers_known} servers answer (checked ${checked_at ?? 'never'})`,
  );
  for (const cause of textsOf(answer.causes)) say(options, `  ${cause}`);
  for (const warning of textsOf(answer.warnings)) say(options, `  warning: ${warning}`);
  showRows(options, (answer.servers ?? []) as Json[], ['name', 'state', 'version', 'seen_at', 'id']);
}

async function looked(
  options: Globals,
  { reference, verb, method }: { reference: string; verb: 'sync' | 'diff'; method: string },
): Promise<void> {
  const api = new Api(options.url);
  const found = await find(api, clusters, reference);
  if (verb === 'sync' && process.stderr.isTTY && !options.json && !options.quiet)
    console.error(`looking at every server of ${found.name} …`);
  const { body } = await api.exchange(method, `${clusters.path}/${found.id}/${verb}`, {
    timeoutMs: TIMEOUT_MS,
  });
  if (body.in_sync !== true) process.exitCode = 1;
  if (options.json) console.log(JSON.stringify(body, null, 2));
  else if (verb === 'sync') showSync(options, found.name, body);
  else showDiff(options, found.name, body);
}

function showSync(options: Globals, name: string, answer: Json): void {
  const report = answer.report as Json | null;
  if (report === null) {
    say(
      options,
      `${name}: the look is still under way; "gatehouse cluster get ${name}" shows what comes of it`,
    );
  } else {
    const { accounts, pushed, proven, failed, drifted, foreign, returned } = report;
    say(options, `${name}: ${answer.in_sync === true ? 'in sync' : 'NOT IN SYNC'}`);
    say(
      options,
      `  ${proven} of ${accounts} accounts proven on every server, ${pushed} pushed, ${failed} failed`,
    );
    for (const [count, what] of [
      [drifted, 'found missing or different'],
      [returned, 'deleted, had come back and were deleted again'],
      [foreign, 'on servers and nobody’s here'],
    ])
      if (Number(count) > 0) say(options, `  ${count} ${what}`);
  }
  for (const server of textsOf(answer.unreachable)) say(options, `  ${server} does not answer`);
}

function showDiff(options: Globals, name: string, answer: Json): void {
  const { missing, different, foreign, accounts, in_sync: inSync } = answer;
  const counts = Object.entries((answer.counts ?? {}) as Record<string, number>)
    .filter(([kind, count]) => kind !== 'equal' && count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  say(
    options,
    `${name}: ${inSync === true ? 'nothing differs' : counts.join(', ') || 'NOT IN SYNC'} (${accounts} accounts compared)`,
  );
  for (const server of textsOf(answer.unreachable)) say(options, `  ${server} does not answer`);
  for (const server of textsOf(answer.untrusted))
    say(
      options,
      `  ${server} does not trust a key that accounts are signed with: give it the operator’s JWT and restart it`,
    );
  const rows = [
    ...listOf(missing).map((one) => ({ ...one, difference: 'missing' })),
    ...listOf(different).map((one) => ({ ...one, difference: 'different' })),
    ...listOf(foreign).map((one) => ({ ...one, difference: 'foreign' })),
  ];
  if (rows.length > 0 && !options.quiet)
    showRows(options, rows, ['difference', 'name', 'servers', 'cause', 'issuer', 'public_key']);
}

const listOf = (list: unknown): Json[] => (Array.isArray(list) ? (list as Json[]) : []);

const textsOf = (list: unknown): string[] => (Array.isArray(list) ? list.map(String) : []);

function say({ quiet }: Globals, line: string): void {
  if (!quiet) console.log(clean(line));
}
