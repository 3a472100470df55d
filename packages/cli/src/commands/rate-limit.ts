import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { Fault } from '../fault.ts';
import { examples } from '../nats/change.ts';
import { type Globals, show } from '../output.ts';
import { collect } from '../units.ts';

interface ResetOptions extends Globals {
  readonly ip?: string;
  readonly network?: string;
  readonly user?: string;
  readonly tenant?: string;
  readonly scope?: readonly string[];
  readonly reason: string;
}

/** `gatehouse rate-limit reset`. */
export function addRateLimit(program: Command): void {
  const limit = program.command('rate-limit').description('limits of requests, per address and account');
  examples(
    limit
      .command('reset')
      .description('set counters back: of an address, a network or a user')
      .option('--ip <address>', 'an address; IPv6 stands for its /64')
      .option('--network <cidr>', 'at most an IPv4 /24 or an IPv6 /56')
      .option('--user <user>', 'an account: e-mail address, also one that nobody has, or id')
      .option('--tenant <id>', 'tenant of the e-mail address')
      .option(
        '--scope <scope>',
        'only this one, may be given again: login, register, refresh, oidc_token, oidc_userinfo, oidc_authorize, admin, default',
        collect,
      )
      .requiredOption('--reason <text>', 'why; kept in the audit'),
    'rate-limit reset --ip 192.0.2.1 --scope login --reason "office behind one address"',
    'rate-limit reset --user user@example.com --reason "asked by phone"',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ResetOptions>();
    const { counters, reach, ...rest } = await new Api(options.url).request(
      'POST',
      '/api/admin/rate-limits/reset',
      bodyOf(options),
    );
    const set = `${counters} ${counters === 1 ? 'counter' : 'counters'} set back`;
    const here =
      reach === 'this_instance' ? '; other instances count for themselves and were not reached' : '';
    const lockout = rest.of === 'user' ? `\na lockout is lifted by: gatehouse admin user unlock` : '';
    show(options, { ...rest, counters, reach }, `${set}${here}${lockout}`);
  });
}

function bodyOf({ ip, network, user, tenant, scope, reason }: ResetOptions): Json {
  if ([ip, network, user].filter((one) => one !== undefined).length !== 1)
    throw new Fault('name one of --ip, --network and --user', 2);
  if (tenant !== undefined && !user?.includes('@'))
    throw new Fault('--tenant goes with the e-mail address of --user', 2);
  return {
    reason,
    ...(ip !== undefined && { ip }),
    ...(network !== undefined && { network }),
    ...(user !== undefined && (user.includes('@') ? { email: user } : { user_id: user })),
    ...(tenant !== undefined && { tenant_id: tenant }),
    ...(scope !== undefined && { scopes: scope }),
  };
}
