import { hostname, userInfo } from 'node:os';
import type { Command } from 'commander';
import { confirm } from '../confirm.ts';
import { databaseUrl } from '../database-url.ts';
import { Fault } from '../fault.ts';
import { type OutputOptions, show } from '../output.ts';
import { warn } from '../report-error.ts';

interface BreakGlassOptions extends OutputOptions {
  readonly email: string;
  readonly tenant?: string;
  readonly reason: string;
  readonly enableTenant?: boolean;
  readonly yes?: boolean;
}

/** `gatehouse admin break-glass`: speaks to the database directly, for when no administrator can sign in. */
export function addBreakGlass(admin: Command): void {
  admin
    .command('break-glass')
    .description(
      'make or restore a platform administrator when none can sign in (needs DATABASE_URL); a critical event of the audit',
    )
    .requiredOption('--email <address>', 'the account; it is made when it is not there')
    .requiredOption('--reason <text>', 'why; kept in the audit')
    .option('--tenant <id>', 'tenant of the account; the default tenant unless given')
    .option('--enable-tenant', 'enable the tenant when it is disabled: its other users can sign in again too')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nExample:\n  gatehouse admin break-glass --email ada@example.com --reason "incident 42: the last administrator left"\n',
    )
    .action(async (_options: unknown, command: Command) =>
      breakTheGlass(command.optsWithGlobals<BreakGlassOptions>()),
    );
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** As the API has it (reason.ts of the kit). */
const REASON = /^[^\p{Cc}\u2028\u2029]{1,500}$/u;

async function breakTheGlass(options: BreakGlassOptions): Promise<void> {
  const { email, tenant, reason } = options;
  const url = databaseUrl();
  if (reason.trim() === '' || !REASON.test(reason))
    throw new Fault('--reason must say why, in at most 500 characters of one line', 2);
  if (tenant !== undefined && !UUID.test(tenant)) throw new Fault('--tenant must be the id of a tenant', 2);
  await confirm(
    `Make ${email} a platform administrator with a new password? Its sessions end, and the audit tells everybody.`,
    options.yes,
  );
  const [{ breakGlass }, { explainDatabaseError }] = await Promise.all([
    import('@gatehouse/auth/offline'),
    import('@gatehouse/schema'),
  ]);
  const result = await breakGlass(url, {
    email,
    tenantId: tenant,
    reason: reason.trim(),
    machine: `${userInfo().username}@${hostname()}`,
    enableTenant: options.enableTenant ?? false,
  }).catch((error: unknown) => {
    const explained = explainDatabaseError(error);
    throw explained === undefined ? error : new Fault(explained);
  });
  if (result.outcome === 'refused') throw new Fault(result.reason);
  const { outcome: _, ...told } = result;
  if (options.quiet && !options.json) console.log(result.password);
  show(options, told, sentence(result));
  warn('the audit has a critical event of this, with your reason and the name of this machine');
}

function sentence(result: {
  email: string;
  made: boolean;
  tenantEnabled: boolean;
  password: string;
}): string {
  const { email, made, tenantEnabled, password } = result;
  return [
    made
      ? `${email} was made, as a platform administrator`
      : `${email} is active and a platform administrator; its lockout is lifted, its old sessions end within a second, or at the next start`,
    ...(tenantEnabled ? ['its tenant is enabled again'] : []),
    `password, shown this once: ${password}`,
    'sign in and change it: gatehouse login, then POST /api/auth/password',
  ].join('\n');
}
