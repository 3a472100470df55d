import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { examples } from '../nats/change.ts';
import { type ListOptions, listing, showList } from '../nats/listing.ts';
import { type Globals, show } from '../output.ts';
import { findUser, type UserItem } from './admin-user-target.ts';

const path = '/api/admin/sessions';
const columns = [
  ...['session_id', 'user_id', 'state', 'client_ip', 'user_agent', 'created_at', 'last_used_at'],
  ...['revoked_reason', 'tenant_id'],
];

interface Whose extends Globals {
  readonly user?: string;
  readonly tenant?: string;
}

interface RevokeOptions extends Whose {
  readonly reason: string;
  readonly keepOwn?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

/** `gatehouse admin sessions …` */
export function addAdminSessions(admin: Command): void {
  const sessions = admin.command('sessions').description('sessions of users');
  addList(sessions);
  addRevoke(sessions);
  addRevokeAll(sessions);
  addClearExpired(sessions);
}

const whose = (command: Command): Command =>
  command
    .option('--user <user>', 'only of this user: e-mail address or id')
    .option('--tenant <id>', 'only of this tenant');

/** The user of an option; an address may need the tenant to be one user's only. */
export async function userNamed(
  api: Api,
  { user, tenant }: Omit<Whose, 'url'>,
): Promise<UserItem | undefined> {
  if (user === undefined) return undefined;
  const target = user.includes('@') ? { email: user } : { id: user };
  return findUser(api, { url: api.url, ...target, ...(tenant !== undefined && { tenant }) });
}

function addList(sessions: Command): void {
  examples(
    whose(
      listing(sessions.command('list').description('sessions with device and address, the newest first'), {
        search: false,
      }),
    ).option('--state <state>', 'live, ended or all', 'live'),
    'admin sessions list --user user@example.com',
    'admin sessions list --state ended --limit 20',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ListOptions & Whose & { state: string }>();
    await showList(path, options, {
      columns,
      filters: async (api) => ({
        user_id: (await userNamed(api, options))?.user_id,
        tenant_id: options.tenant,
        state: options.state.toLowerCase(),
      }),
    });
  });
}

function addRevoke(sessions: Command): void {
  examples(
    sessions
      .command('revoke')
      .argument('<session-id>', 'which one, as list shows it')
      .description('end one session')
      .requiredOption('--reason <text>', 'why; kept in the audit'),
    'admin sessions revoke 0198c5c0-0000-7000-8000-000000000000 --reason "lost phone"',
  ).action(async (id: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<RevokeOptions>();
    const query = new URLSearchParams({ reason: options.reason });
    await new Api(options.url).request('DELETE', `${path}/${encodeURIComponent(id)}?${query}`);
    show(options, { session_id: id, revoked: true }, `${id}: the session has ended`);
  });
}

function addRevokeAll(sessions: Command): void {
  examples(
    whose(sessions.command('revoke-all').description('end every session: of everybody, a tenant or a user'))
      .requiredOption('--reason <text>', 'why; kept in the audit')
      .option('--keep-own', 'leave the session of this command alone')
      .option('--dry-run', 'only say how many')
      .option('--yes', 'do not ask'),
    'admin sessions revoke-all --dry-run --reason "key leaked"',
    'admin sessions revoke-all --reason "key leaked" --yes',
    'admin sessions revoke-all --user user@example.com --reason "lost phone" --yes',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<RevokeOptions>();
    const api = new Api(options.url);
    const asked = await wanted(api, options);
    const count = async (more: Json) =>
      (await api.request('POST', `${path}/revoke-all`, { ...asked, ...more })).count;
    if (options.dryRun) {
      const live = await count({ dry_run: true });
      show(options, { count: live }, `${live} would end`);
      return;
    }
    // Without a terminal nobody is asked, and --yes must be said before anything is looked up.
    const live = options.yes || !process.stdin.isTTY ? '' : ` (${await count({ dry_run: true })})`;
    await confirm(`End every session${live} ${spoken(options)}?`, options.yes);
    const ended = await count({});
    show(options, { count: ended }, `${ended} sessions ended`);
  });
}

function spoken({ user, tenant, keepOwn }: RevokeOptions): string {
  if (user !== undefined) return `of ${user}`;
  const own = keepOwn ? 'but your own' : 'your own too';
  return tenant === undefined ? `of everybody, ${own}` : `of tenant ${tenant}, ${own} if it is there`;
}

async function wanted(api: Api, options: RevokeOptions): Promise<Json> {
  const user = await userNamed(api, options);
  return {
    reason: options.reason,
    ...(options.tenant !== undefined && { tenant_id: options.tenant }),
    ...(user && { user_id: user.user_id, tenant_id: user.tenant_id }),
    ...(options.keepOwn && { keep_own: true }),
  };
}

/** So many requests are a database that adds as fast as it is emptied. */
const ROUNDS_MAX = 1_000;

function addClearExpired(sessions: Command): void {
  examples(
    sessions
      .command('clear-expired')
      .description('remove sessions that expired, at once; the platform does it every five minutes by itself')
      .option('--reason <text>', 'why; kept in the audit'),
    'admin sessions clear-expired',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Globals & { reason?: string }>();
    const api = new Api(options.url);
    const total = { count: 0, refresh_tokens: 0 };
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const body = options.reason === undefined ? {} : { reason: options.reason };
      const answer = await api.request('POST', `${path}/clear-expired`, body);
      total.count += Number(answer.count);
      total.refresh_tokens += Number(answer.refresh_tokens);
      if (answer.complete === true) {
        show(options, total, `${total.count} sessions and ${total.refresh_tokens} refresh tokens removed`);
        return;
      }
    }
    throw new Fault(`${total.count} sessions were removed, and there are still more`);
  });
}
