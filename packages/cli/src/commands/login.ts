import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { readPassword } from '../confirm.ts';
import { profileAt } from '../installation.ts';
import { type Globals, show, showObject } from '../output.ts';
import { warn } from '../report-error.ts';

/** `gatehouse login|logout|whoami`: keeps an administrator's session in a file of mode 0600. */
export function addLogin(program: Command): void {
  program
    .command('login')
    .description('sign in; the password is asked for, piped in, or taken from GATEHOUSE_PASSWORD')
    .requiredOption('--email <address>', 'whose account')
    .option('--tenant <id>', 'tenant of the account; the profile’s or the default tenant unless given')
    .addHelpText(
      'after',
      `
Examples:
  gatehouse login --email admin@example.com
  gatehouse --profile production login --email admin@example.com
`,
    )
    .action(async (_options: unknown, command: Command) => {
      const { email, tenant, ...globals } = command.optsWithGlobals<
        Globals & { email: string; tenant?: string }
      >();
      const api = new Api(globals.url);
      const password = await readPassword();
      await api.login({ email, password, ...(tenant && { tenant_id: tenant }) });
      show(globals, { url: api.url, profile: profileAt(api.url) ?? null, email }, `signed in at ${api.url}`);
    });
  program
    .command('logout')
    .description('end the kept session, here and at the installation')
    .addHelpText('after', '\nExample:\n  gatehouse logout\n')
    .action(async (_options: unknown, command: Command) => {
      const globals = command.optsWithGlobals<Globals>();
      const outcome = await new Api(globals.url).logout();
      if (outcome === 'untold')
        warn(`${globals.url} could not be told: the session there lives on until it expires or is revoked`);
      show(
        globals,
        { outcome },
        outcome === 'none' ? `nobody was signed in at ${globals.url}` : 'signed out',
      );
    });
  program
    .command('whoami')
    .description('who is signed in, in which tenant, with which roles, and until when')
    .addHelpText('after', '\nExample:\n  gatehouse whoami\n')
    .action(async (_options: unknown, command: Command) => {
      const globals = command.optsWithGlobals<Globals>();
      const api = new Api(globals.url);
      const me = await api.request('GET', '/api/auth/me');
      showObject(globals, {
        url: api.url,
        profile: profileAt(api.url) ?? null,
        email: me.email,
        name: me.name,
        user_id: me.user_id,
        tenant_id: me.tenant_id,
        roles: me.roles,
        session_id: me.session_id,
        session_expires_at: await sessionEnd(api),
        token_expires_at: expiryOf(await api.token()),
      });
    });
}

/** The absolute end of this session: no refresh moves it. */
async function sessionEnd(api: Api): Promise<string | null> {
  const { items } = await api.request('GET', '/api/auth/sessions?limit=200');
  const current = Array.isArray(items)
    ? (items as Json[]).find((session) => session.current === true)
    : undefined;
  return typeof current?.expires_at === 'string' ? current.expires_at : null;
}

/** What the token says of its own end; read only, the installation judges it. */
function expiryOf(token: string): string | null {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Json;
    return typeof exp === 'number' ? new Date(exp * 1000).toISOString() : null;
  } catch {
    return null;
  }
}
