import { type Command, InvalidArgumentError } from 'commander';
import { examples } from '../nats/change.ts';
import { type ListOptions, showList } from '../nats/listing.ts';
import { secondsOf } from '../units.ts';

interface SearchOptions extends ListOptions {
  readonly from?: string;
  readonly to?: string;
  readonly type?: string;
  readonly tenant?: string;
  readonly user?: string;
  readonly actor?: string;
  readonly subject?: string;
  readonly ip?: string;
  readonly outcome?: string;
  readonly severity?: string;
  readonly trace?: string;
  readonly all?: boolean;
}

const columns = ['occurred_at', 'type', 'outcome', 'severity', 'actor', 'subject', 'client_ip', 'id'];
const EVERYTHING = '9999999';

/** `gatehouse audit search` */
export function addAuditSearch(audit: Command): void {
  examples(
    audit
      .command('search')
      .description('find events, the newest first')
      .option('--from <time>', 'happened from then on: 24h ago, or a time', pastOf)
      .option('--to <time>', 'happened before then', pastOf)
      .option('--type <types>', 'these types, with commas between; auth.login.* is all below auth.login')
      .option('--tenant <id>', 'of this tenant')
      .option('--user <id>', 'about this user')
      .option('--actor <id>', 'done by this user')
      .option('--subject <subject>', 'about this: user:<id>, session:<id>, tenant:<id>, …')
      .option('--ip <address>', 'from this address, or network such as 192.0.2.0/24')
      .option('--outcome <outcome>', 'success, failure or unknown')
      .option('--severity <severity>', 'info, notice, warning or critical')
      .option('--trace <id>', 'of this request: the trace_id of a log line or a problem')
      .option('--search <words>', 'with all these words in their type, subject or data, in any case')
      .option('--limit <n>', 'at most this many', '50')
      .option('--all', 'all that there are'),
    'audit search --type auth.login.failure,auth.login.blocked --from 24h',
    'audit search --ip 203.0.113.0/24 --outcome failure --from 7d',
    'audit search --search "stolen notebook" --all --json',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<SearchOptions>();
    const { from, to, type, tenant, user, actor, subject, ip, outcome, severity, trace } = options;
    const limit = options.all ? EVERYTHING : options.limit;
    await showList(
      '/api/audit/events',
      { ...options, ...(limit !== undefined && { limit }) },
      {
        columns,
        filters: async () => ({
          ...{
            from,
            to,
            type,
            actor,
            subject,
            severity: severity?.toLowerCase(),
            outcome: outcome?.toLowerCase(),
          },
          ...{ tenant_id: tenant, user_id: user, client_ip: ip, trace_id: trace },
        }),
      },
    );
  });
}

/** A moment that was: `24h` before now, `2024-01-31`, `2024-01-31T12:00:00Z`. */
function pastOf(text: string): string {
  if (/^[0-9]+[smhdwy]/.test(text)) return new Date(Date.now() - secondsOf(text) * 1000).toISOString();
  const time = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time))
    throw new InvalidArgumentError('Say how long ago, such as 24h, or a time such as 2024-01-31T12:00:00Z.');
  return new Date(time).toISOString();
}
