import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { confirm } from '../confirm.ts';
import { examples, withReason } from '../nats/change.ts';
import { type Globals, show, showRows } from '../output.ts';

const path = '/api/nats/encryption';

interface EncryptionOptions extends Globals {
  readonly reason?: string;
  readonly yes?: boolean;
}

/** `gatehouse keys encryption …`: the ring of keys that seeds lie under. */
export function addEncryption(keys: Command): void {
  const encryption = keys
    .command('encryption')
    .description(
      'keys that seeds are encrypted under: first put a new one on every instance, then rotate, then reencrypt',
    );
  examples(
    encryption
      .command('status')
      .description('every key: its state, how many records need it, which instances hold it'),
    'keys encryption status',
  ).action(async (_options: unknown, command: Command) => status(command.optsWithGlobals<Globals>()));
  examples(
    encryption
      .command('rotate')
      .argument('<key>', 'id of the key')
      .description('let a key seal from now on; refused while an instance does not hold it')
      .option('--reason <text>', 'why; kept in the audit'),
    'keys encryption rotate k2 --reason "yearly rotation"',
  ).action(async (key: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<EncryptionOptions>();
    const answer = await post(options, `/keys/${encodeURIComponent(key)}/primary`);
    show(
      options,
      answer,
      `${key} seals from now on; "keys encryption reencrypt" brings older records under it`,
    );
  });
  examples(
    encryption
      .command('reencrypt')
      .description(
        'bring every record under the key that seals now, beside the traffic; goes on by itself after a restart',
      )
      .option('--reason <text>', 'why; kept in the audit'),
    'keys encryption reencrypt --reason "yearly rotation"',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<EncryptionOptions>();
    const answer = await post(options, '/reencrypt');
    show(options, answer, 're-encryption has begun: "keys encryption status" shows how far it is');
  });
  examples(
    encryption
      .command('destroy')
      .argument('<key>', 'id of the key')
      .description('give up a key that no record needs; afterwards take it out of the configuration')
      .option('--reason <text>', 'why; kept in the audit')
      .option('--yes', 'do not ask'),
    'keys encryption destroy k1 --reason "rotated"',
  ).action(async (key: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<EncryptionOptions>();
    await confirm(
      `Give up the key ${key}? Backups that need it can no longer be read with this installation.`,
      options.yes,
    );
    const query = options.reason === undefined ? '' : `?${new URLSearchParams({ reason: options.reason })}`;
    const answer = await new Api(options.url).request(
      'DELETE',
      `${path}/keys/${encodeURIComponent(key)}${query}`,
    );
    show(options, answer, `${key} is given up: take it out of the configuration`);
  });
}

const post = (options: EncryptionOptions, below: string): Promise<Json> =>
  new Api(options.url).request('POST', `${path}${below}`, withReason({}, options));

async function status(options: Globals): Promise<void> {
  const answer = await new Api(options.url).request('GET', path);
  if (options.json) {
    console.log(JSON.stringify(answer, null, 2));
    return;
  }
  const columns = ['id', 'state', 'records', 'held_by', 'primary_at', 'retiring_at', 'drained_at'];
  showRows(options, (answer.keys ?? []) as Json[], columns);
  const waiting = answer.waiting as Json | null | undefined;
  if (waiting)
    show(
      options,
      waiting,
      `\n${waiting.key_id} is named by ENCRYPTION_CURRENT_KEY_ID and does not seal yet: ${waitingFor(waiting)}`,
    );
  const run = answer.reencryption as Json | null | undefined;
  if (run)
    show(
      options,
      run,
      `\nre-encryption to ${run.to_key_id}: ${run.state}, ${run.rewrapped} of ${run.total} records${run.error ? ` (${run.error})` : ''}`,
    );
}

function waitingFor({ because, instances }: Json): string {
  if (because === 'lacking') return `these processes do not hold it: ${(instances as string[]).join(', ')}`;
  return because === 'was_primary'
    ? 'it sealed before; "keys encryption rotate" brings it back'
    : 'it was given up';
}
