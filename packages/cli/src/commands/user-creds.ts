import type { Command } from 'commander';
import { Api } from '../api.ts';
import { Fault } from '../fault.ts';
import { examples, withReason } from '../nats/change.ts';
import { type ListOptions, listing, showList } from '../nats/listing.ts';
import { accountFilter, findInAccount, type Scope, users } from '../nats/object.ts';
import { type Globals, show } from '../output.ts';
import { refuseExisting, writeSecretFile } from '../secret-file.ts';
import { momentOf, secondsOf } from '../units.ts';
import { inAccount } from './role.ts';

interface CredsOptions extends Globals, Scope {
  readonly ttl?: number;
  readonly expires?: string | null;
  readonly output?: string;
  readonly force?: boolean;
  readonly show?: boolean;
  readonly supersede?: boolean;
  readonly reason?: string;
}

/** `gatehouse user creds` and `gatehouse user credentials`. */
export function addCreds(user: Command): void {
  const creds = inAccount(
    user
      .command('creds')
      .argument('<user>', 'name, id or public key')
      .description(
        'issue creds: into a file of mode 0600, or to standard output when that is a pipe or a file',
      ),
  )
    .option('--ttl <time>', 'how long they work, as 24h; unless given, what the user says', secondsOf)
    .option('--expires <when>', 'until when they work, as 2027-01-31; or never', momentOf)
    .option('--supersede', 'revoke what was issued to the user before')
    .option('--output <file>', 'the file to make')
    .option('--force', 'put it in the place of a file that is there')
    .option('--show', 'to the terminal, secret and all')
    .option('--reason <text>', 'why; kept in the audit');
  examples(
    creds,
    'user creds printer --account orders --ttl 24h --output printer.creds',
    "user creds cluster-main --operator main --account '$SYS' > sys.creds",
  ).action(async (reference: string, _options: unknown, command: Command) => {
    await issue(reference, command.optsWithGlobals<CredsOptions>());
  });
  examples(
    inAccount(
      listing(
        user
          .command('credentials')
          .argument('[user]', 'whose; every user’s unless given')
          .description('what was issued: the ledger'),
        {
          search: false,
        },
      ),
    ).option('--state <state>', 'active, expired, revoked or superseded'),
    'user credentials printer --account orders',
    'user credentials --account orders --state active',
  ).action(async (reference: string | undefined, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ListOptions & Scope & { state?: string }>();
    await showList('/api/nats/credentials', options, {
      columns: ['id', 'user', 'state', 'issued_at', 'expires_at', 'last_seen_at', 'public_key'],
      filters: async (api) => ({
        ...(reference === undefined
          ? await accountFilter(api, options)
          : { user_id: (await findInAccount(api, users, reference, options)).id }),
        state: options.state,
      }),
    });
  });
}

async function issue(reference: string, options: CredsOptions): Promise<void> {
  const { ttl, expires, output, force } = options;
  if (ttl !== undefined && expires !== undefined) throw new Fault('say --ttl or --expires, not both', 2);
  if (output === undefined && process.stdout.isTTY && !options.show)
    throw new Fault('creds are a secret: say --output FILE, or --show to have them on this terminal', 2);
  // Nothing is issued for a file that cannot be made.
  if (output !== undefined && !force) await refuseExisting(output);
  const api = new Api(options.url);
  const found = await findInAccount(api, users, reference, options);
  const body = {
    ...(ttl !== undefined && { ttl_seconds: ttl }),
    ...(typeof expires === 'string' && { expires_at: expires }),
    ...(expires === null && { never_expires: true }),
    ...(options.supersede && { supersede: true }),
  };
  const answer = await api.request(
    'POST',
    `${users.path}/${found.id}/credentials`,
    withReason(body, options),
  );
  // A user with a key of its own has no creds here: the JWT goes beside the seed that it keeps.
  const secret = typeof answer.creds === 'string' ? answer.creds : `${answer.jwt}\n`;
  if (output === undefined) {
    process.stdout.write(options.json ? `${JSON.stringify(answer, null, 2)}\n` : secret);
    return;
  }
  await writeSecretFile(output, secret, force);
  const { credential } = answer as { credential?: { expires_at?: string | null } };
  const until = credential?.expires_at ? `until ${credential.expires_at}` : 'for ever';
  const told = { user_id: found.id, user: found.name, credential, output };
  show(
    options,
    told,
    `${output}: ${typeof answer.creds === 'string' ? 'creds' : 'JWT'} of ${found.name}, valid ${until}`,
  );
}
