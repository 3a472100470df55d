import type { Command } from 'commander';
import { Api } from '../api.ts';
import { type ChangeOptions, changing, create, deleting, examples, remove } from '../nats/change.ts';
import { accounts, findAccount, type Scope } from '../nats/object.ts';
import { inOperator } from './account.ts';
import { type KeyOptions, keyBody } from './operator.ts';

/** `gatehouse account key add|remove`: signing keys without a role. */
export function addAccountKeys(account: Command): void {
  const key = account
    .command('key')
    .description('signing keys of an account; those with a template are roles');
  examples(
    inOperator(
      changing(
        key
          .command('add')
          .argument('<account>', 'name, id or public key')
          .description('give it another signing key: a new one, unless a file is named')
          .option('--seed-file <file>', 'with this seed; - reads standard input')
          .option('--public-key <key>', 'only the public half; signs nothing here'),
      ),
    ),
    'account key add orders --reason "rotation"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ChangeOptions & KeyOptions & Scope>();
    const api = new Api(options.url);
    const body = await keyBody(options);
    const found = await findAccount(api, reference, options);
    await create(api, `${accounts.path}/${found.id}/signing-keys`, body, {
      options,
      done: () => `account ${found.name}: has a new signing key`,
    });
  });
  examples(
    inOperator(
      deleting(
        key
          .command('remove')
          .argument('<account>', 'name, id or public key')
          .argument('<public-key>', 'of the signing key')
          .description('take a signing key from it; what it signed no longer connects'),
      ),
    ),
    'account key remove orders AABC…',
  ).action(async (reference: string, publicKey: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ChangeOptions & Scope>();
    const api = new Api(options.url);
    const found = await findAccount(api, reference, options);
    await remove(
      api,
      accounts,
      {
        id: `${found.id}/signing-keys/${encodeURIComponent(publicKey)}`,
        revisionOf: found.id,
        name: `${found.name}, signing key ${publicKey}`,
      },
      { options, done: 'taken from it' },
    );
  });
}
