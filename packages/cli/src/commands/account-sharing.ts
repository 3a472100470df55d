import type { Command } from 'commander';
import { Api } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { type ChangeOptions, changing, create, examples, sentence, withReason } from '../nats/change.ts';
import { accounts, findAccount, type Scope } from '../nats/object.ts';
import { show, showRows } from '../output.ts';
import { writeSecretFile } from '../secret-file.ts';
import { momentOf } from '../units.ts';
import { inOperator } from './account.ts';

/** `gatehouse account activation` and `gatehouse account revocations`. */
export function addAccountSharing(account: Command): void {
  addActivation(account);
  addRevocations(account);
}

interface ActivationOptions extends ChangeOptions, Scope {
  readonly subject: string;
  readonly type: string;
  readonly for: string;
  readonly expires?: string | null;
  readonly output?: string;
}

function addActivation(account: Command): void {
  examples(
    inOperator(
      account
        .command('activation')
        .argument('<account>', 'the exporting account')
        .description('issue a token that lets another account import what this one exports')
        .requiredOption('--subject <subject>', 'of the export')
        .requiredOption('--type <type>', 'stream or service')
        .requiredOption('--for <account>', 'who imports: name, id or public key')
        .option('--expires <when>', 'as 30d or 2027-01-31', momentOf)
        .option('--output <file>', 'into this new file, of mode 0600')
        .option('--force', 'put it in the place of a file that is there')
        .option('--reason <text>', 'why; kept in the audit'),
    ),
    "account activation orders --subject 'orders.>' --type stream --for billing --expires 1y",
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ActivationOptions>();
    const api = new Api(options.url);
    const found = await findAccount(api, reference, options);
    // Another operator's account is known by its key alone.
    const importer = /^A[A-Z2-7]{55}$/.test(options.for)
      ? options.for
      : (await findAccount(api, options.for, options)).public_key;
    const { subject, type, expires, output, force } = options;
    const body = {
      subject,
      type,
      for_account: importer,
      ...(typeof expires === 'string' && { expires_at: expires }),
    };
    const answer = await api.request(
      'POST',
      `${accounts.path}/${found.id}/activations`,
      withReason(body, options),
    );
    if (output === undefined) show({ json: options.json ?? false }, answer, String(answer.token));
    else {
      await writeSecretFile(output, `${answer.token}\n`, force);
      show(options, { output, expires_at: answer.expires_at }, `${output}: token for ${importer}`);
    }
  });
}

interface RevocationOptions extends ChangeOptions, Scope {
  readonly add?: string;
  readonly remove?: string;
}

function addRevocations(account: Command): void {
  examples(
    inOperator(
      changing(
        account
          .command('revocations')
          .argument('<account>', 'name, id or public key')
          .description('list what an account refuses, add to it, or take from it')
          .option('--add <public-key>', 'refuse what this user was issued so far; "*": what everybody was')
          .option('--remove <public-key>', 'take it again'),
      ),
    ).option('--yes', 'do not ask'),
    'account revocations orders',
    'account revocations orders --add \'*\' --reason "creds leaked"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<RevocationOptions>();
    const { add, remove } = options;
    if (add !== undefined && remove !== undefined) throw new Fault('say --add or --remove, not both', 2);
    const api = new Api(options.url);
    const found = await findAccount(api, reference, options);
    const path = `${accounts.path}/${found.id}/revocations`;
    if (add !== undefined) {
      if (add === '*' && !options.dryRun)
        await confirm(`Refuse everything issued to anybody in ${found.name}?`, options.yes);
      const done = () =>
        `account ${found.name}: refuses what ${add === '*' ? 'everybody' : add} was issued so far`;
      await create(api, path, { public_key: add }, { options, done });
    } else if (remove !== undefined) await takeBack(api, `${path}/${encodeURIComponent(remove)}`, options);
    else
      showRows(options, await listed(api, path), ['public_key', 'before', 'until', 'reason', 'created_at']);
  });
}

async function takeBack(api: Api, path: string, options: RevocationOptions): Promise<void> {
  const { reason, dryRun } = options;
  const query = new URLSearchParams({
    ...(reason !== undefined && { reason }),
    ...(dryRun && { dry_run: 'true' }),
  });
  const answer = await api.request('DELETE', `${path}?${query}`);
  show(options, answer, sentence(`${options.remove}: no longer refused`, answer));
}

async function listed(api: Api, path: string): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = [];
  let cursor: string | undefined;
  do {
    const answer = await api.request(
      'GET',
      `${path}${cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`}`,
    );
    rows.push(...(answer.items as Record<string, unknown>[]));
    cursor = typeof answer.next_cursor === 'string' ? answer.next_cursor : undefined;
  } while (cursor !== undefined);
  return rows;
}
