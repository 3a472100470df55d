import type { Command } from 'commander';
import { Api } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { examples } from '../nats/change.ts';
import { show } from '../output.ts';
import { findUser, type Target, targeted } from './admin-user-target.ts';

interface EraseOptions extends Target {
  readonly reason: string;
  readonly yes?: boolean;
}

/** `gatehouse audit erase` */
export function addAuditErase(audit: Command): void {
  examples(
    targeted(
      audit
        .command('erase')
        .description('erase addresses, devices and e-mails of a person; the trail verifies as before'),
    )
      .requiredOption('--reason <text>', 'why; kept in the audit')
      .option('--yes', 'do not ask'),
    'audit erase --email ada@example.com --reason "asked to be forgotten"',
    'audit erase --id 0198c5c0-0000-7000-8000-000000000000 --reason "asked to be forgotten" --yes',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<EraseOptions>();
    const api = new Api(options.url);
    const user = await personOf(api, options);
    await confirm(
      `Erase what the audit trail tells of ${options.email ?? user}? Nothing brings it back.`,
      options.yes,
    );
    let records = 0;
    for (let complete = false; !complete; ) {
      const answer = await api.request('POST', '/api/audit/erasures', {
        user_id: user,
        reason: options.reason,
      });
      records += Number(answer.records);
      complete = answer.complete === true;
    }
    show(options, { user_id: user, records }, `erased from ${records} records`);
  });
}

/** By its id also somebody whose account is gone: the trail knows them still. */
async function personOf(api: Api, options: EraseOptions): Promise<string> {
  if (options.id !== undefined && options.email !== undefined)
    throw new Fault('name the user by --email or by --id', 2);
  return options.id ?? (await findUser(api, options)).user_id;
}
