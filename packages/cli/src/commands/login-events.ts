import { type Command, InvalidArgumentError } from 'commander';
import { Api } from '../api.ts';
import { Fault } from '../fault.ts';
import { examples } from '../nats/change.ts';
import { type ListOptions, listing, showList } from '../nats/listing.ts';
import { showJson, showRows } from '../output.ts';
import { secondsOf } from '../units.ts';

const path = '/api/admin/login-events';
const columns = [
  'occurred_at',
  'outcome',
  'reason',
  'email',
  'client_ip',
  'user_agent',
  'user_id',
  'tenant_id',
];

interface LoginEventOptions extends ListOptions {
  readonly email?: string;
  readonly id?: string;
  readonly tenant?: string;
  readonly ip?: string;
  readonly outcome?: string;
  readonly failed?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly byReason?: boolean;
}

/** `gatehouse admin user login-events` */
export function addLoginEvents(user: Command): void {
  examples(
    listing(
      user.command('login-events').description('sign-ins of a user or of everybody, the newest first'),
      {
        search: false,
      },
    )
      .option('--email <address>', 'only of this address; also one that nobody has')
      .option('--id <uuid>', 'only of this user')
      .option('--tenant <id>', 'only of this tenant')
      .option('--ip <address>', 'only from this address, or network such as 192.0.2.0/24')
      .option('--outcome <outcome>', 'only success, failure or blocked')
      .option('--failed', 'the same as --outcome failure')
      .option('--since <time>', 'from then on: 24h ago, or a time', pastOf)
      .option('--until <time>', 'before then', pastOf)
      .option(
        '--by-reason',
        'how many failed, by reason; of the last 24 hours unless --since says otherwise',
      ),
    'admin user login-events --email user@example.com',
    'admin user login-events --failed --since 24h',
    'admin user login-events --by-reason --since 1h',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<LoginEventOptions>();
    if (options.byReason) return showReasons(options);
    const { email, id, tenant, ip, since, until, failed } = options;
    const outcome = failed ? 'failure' : options.outcome?.toLowerCase();
    await showList(path, options, {
      columns,
      filters: async () => ({
        ...{ email, outcome, user_id: id, tenant_id: tenant, client_ip: ip, from: since, to: until },
      }),
    });
  });
}

async function showReasons(options: LoginEventOptions): Promise<void> {
  const { email, id, ip, outcome, tenant, since, until } = options;
  if ([email, id, ip, outcome].some((one) => one !== undefined))
    throw new Fault('--by-reason counts those of everybody: leave --email, --id, --ip and --outcome out', 2);
  const asked = Object.entries({ tenant_id: tenant, from: since, to: until });
  const query = asked.filter((one): one is [string, string] => one[1] !== undefined);
  const answer = await new Api(options.url).request('GET', `${path}/failures?${new URLSearchParams(query)}`);
  if (options.json) showJson(answer);
  else
    showRows(options, answer.items as Record<string, unknown>[], ['reason', 'count', 'addresses', 'users']);
}

/** A moment that was: `24h` before now, `2027-01-31`, `2027-01-31T12:00:00Z`. */
function pastOf(text: string): string {
  if (/^[0-9]+[smhdwy]/.test(text)) return new Date(Date.now() - secondsOf(text) * 1000).toISOString();
  const time = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time))
    throw new InvalidArgumentError('Say how long ago, such as 24h, or a time such as 2027-01-31T12:00:00Z.');
  return new Date(time).toISOString();
}
