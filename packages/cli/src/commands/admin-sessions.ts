import type { Command } from 'commander';
import { Api } from '../api.ts';
import { confirm } from '../confirm.ts';
import { type Globals, show } from '../output.ts';

/** `gatehouse admin sessions …` */
export function addAdminSessions(admin: Command): void {
  addRevokeAll(admin.command('sessions').description('sessions of the platform'));
}

function addRevokeAll(sessions: Command): void {
  sessions
    .command('revoke-all')
    .description('end every session: of everybody, or of one tenant')
    .requiredOption('--reason <text>', 'why; kept in the audit')
    .option('--tenant <id>', 'only this tenant')
    .option('--dry-run', 'only say how many')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  gatehouse admin sessions revoke-all --reason "key leaked" --yes\n')
    .action(
      async (
        options: { tenant?: string; reason: string; dryRun?: boolean; yes?: boolean },
        command: Command,
      ) => {
        const globals = command.optsWithGlobals<Globals>();
        if (!options.dryRun) await confirm('End every session, your own too?', options.yes);
        const answer = await new Api(globals.url).request('POST', '/api/admin/sessions/revoke-all', {
          reason: options.reason,
          ...(options.tenant && { tenant_id: options.tenant }),
          ...(options.dryRun && { dry_run: true }),
        });
        show(
          globals,
          answer,
          options.dryRun ? `${answer.count} would end` : `${answer.count} sessions ended`,
        );
      },
    );
}
