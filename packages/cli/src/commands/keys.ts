import type { Command } from 'commander';
import { Api } from '../api.ts';
import { confirm } from '../confirm.ts';
import { type Globals, show, showRows } from '../output.ts';
import { addEncryption } from './encryption.ts';

/** `gatehouse keys list|rotate|revoke`: the keys that sign access tokens; `keys encryption …`: those that seeds lie under. */
export function addKeys(program: Command): void {
  const keys = program
    .command('keys')
    .description('signing keys of access tokens, and the keys that secrets are encrypted under');
  keys
    .command('list')
    .description('every key with its state: next, current, previous, retired')
    .addHelpText('after', '\nExample:\n  gatehouse keys list\n')
    .action(async (_options: unknown, command: Command) => {
      const globals = command.optsWithGlobals<Globals>();
      const { items } = await new Api(globals.url).request('GET', '/api/admin/keys');
      const columns = ['kid', 'algorithm', 'state', 'created_at', 'activates_at', 'retires_at'];
      showRows(globals, items as Record<string, unknown>[], columns);
    });
  keys
    .command('rotate')
    .description(
      'let the next key sign; at once when verifiers had time to learn it, else as soon as they had',
    )
    .requiredOption('--reason <text>', 'why; kept in the audit')
    .option('--algorithm <name>', 'of the key after it: RS256, ES256 or EdDSA')
    .addHelpText('after', '\nExample:\n  gatehouse keys rotate --reason "yearly rotation"\n')
    .action(async (options: { reason: string; algorithm?: string }, command: Command) => {
      const globals = command.optsWithGlobals<Globals>();
      const answer = await new Api(globals.url).request('POST', '/api/admin/keys/rotate', { ...options });
      show(globals, answer, `the key ${answer.kid} signs from ${answer.activates_at}`);
    });
  addRevoke(keys);
  addEncryption(keys);
}

function addRevoke(keys: Command): void {
  keys
    .command('revoke')
    .argument('<kid>', 'which key, as list shows it')
    .description(
      'withdraw a key that may have leaked: what it signed is refused at once; one that signs is replaced by the next',
    )
    .requiredOption('--reason <text>', 'why; kept in the audit')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  gatehouse keys revoke 4f1c9a2b7d3e --reason "private key leaked"\n')
    .action(async (kid: string, { reason, yes }: { reason: string; yes?: boolean }, command: Command) => {
      const globals = command.optsWithGlobals<Globals>();
      await confirm(`Withdraw the key ${kid}? Every access token that it has signed is refused.`, yes);
      const path = `/api/admin/keys/${encodeURIComponent(kid)}/revoke`;
      const answer = await new Api(globals.url).request('POST', path, { reason });
      show(globals, answer, `${kid} is withdrawn; ${answer.current_kid} signs`);
    });
}
