import type { Command } from 'commander';
import { Api } from '../api.ts';
import { confirm } from '../confirm.ts';
import { examples } from '../nats/change.ts';
import { type ListOptions, listing, showList } from '../nats/listing.ts';
import { type Globals, show } from '../output.ts';

interface AcknowledgeOptions extends Globals {
  readonly reason: string;
  readonly yes?: boolean;
}

/** `gatehouse audit checkpoints|key|faults|acknowledge`: what vouches for the trail outside the database. */
export function addAuditCheckpoints(audit: Command): void {
  examples(
    listing(audit.command('checkpoints').description('the signed checkpoints, the newest first'), {
      search: false,
    }),
    'audit checkpoints --limit 5',
  ).action(async (_options: unknown, command: Command) =>
    showList('/api/audit/checkpoints', command.optsWithGlobals<ListOptions>(), {
      columns: ['size', 'signed_at', 'events', 'root'],
    }),
  );
  examples(
    audit.command('key').description('the key that verifies the checkpoints: keep it beside them'),
    'audit key > audit-key.txt',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Globals>();
    const answer = await new Api(options.url).request('GET', '/api/audit/checkpoint-key');
    // For a file, also with --quiet.
    show({ ...options, quiet: false }, answer, String(answer.verifier_key));
  });
  examples(
    listing(
      audit
        .command('faults')
        .description('checkpoints kept outside that the trail is not the one of, the newest first'),
      { search: false },
    ),
    'audit faults',
  ).action(async (_options: unknown, command: Command) =>
    showList('/api/audit/faults', command.optsWithGlobals<ListOptions>(), {
      columns: ['id', 'found_at', 'cause', 'detail', 'acknowledged_at', 'reason'],
    }),
  );
  addAcknowledge(audit);
}

function addAcknowledge(audit: Command): void {
  examples(
    audit
      .command('acknowledge')
      .argument('<id>', 'which fault, as "audit faults" shows it')
      .description('let checkpoints be signed again on top of the trail as it is now')
      .requiredOption('--reason <text>', 'why; kept in the audit')
      .option('--yes', 'do not ask'),
    'audit acknowledge 0198c5c0-0000-7000-8000-000000000000 --reason "restored last night\'s backup"',
  ).action(async (id: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<AcknowledgeOptions>();
    await confirm(
      'Vouch for the trail as it is now, although an earlier checkpoint says otherwise?',
      options.yes,
    );
    const answer = await new Api(options.url).request(
      'POST',
      `/api/audit/faults/${encodeURIComponent(id)}/acknowledge`,
      { reason: options.reason },
    );
    show(options, answer, `acknowledged: ${answer.cause}; checkpoints are signed again`);
  });
}
