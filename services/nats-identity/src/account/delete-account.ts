import { append, Problem, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  acting,
  type ChangeCall,
  changeQuery,
  changeView,
  checkRevision,
  inChange,
  reasonQuery,
  showRevision,
} from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { lockAccount, readAccount } from '../visible.ts';
import { hasStreams } from './account-streams.ts';
import { AccountChanged, accountDetail } from './account-view.ts';
import { activeUsers } from './change-account.ts';

const Query = Type.Object(
  {
    ...changeQuery,
    ...reasonQuery,
    purge: Type.Optional(
      Type.Union([Type.Literal('true'), Type.Literal('false')], {
        description: 'true: its streams go too. Without it an account that has streams stays locked.',
      }),
    ),
  },
  { additionalProperties: false },
);

export const deleteAccount = route({
  method: 'DELETE',
  path: '/api/nats/accounts/:id',
  access: 'nats.manage',
  summary: 'Lock an account and delete it on every server',
  description:
    'Starts a deletion: the account is locked at once (nobody connects, who is connected goes), its streams are purged with consent, it is deleted on every server, and a tombstone deletes it again wherever it comes back. While it is `locked` it can be restored. Asked again with purge=true it adds the consent.',
  params: Type.Object({ id: Uuid }),
  query: Query,
  status: 202,
  answer: AccountChanged,
  problems: ['not_found', 'conflict', 'account_not_empty', 'no_signing_key', 'precondition_failed'],
  run: (ctx) => async (call) => {
    await refuseStreams(ctx, call);
    const answer = await inChange(ctx, call.query, (tx) => lock(tx, ctx, call));
    showRevision(call, answer.revision);
    return answer;
  },
});

type DeleteCall = ChangeCall & {
  readonly query: {
    readonly dry_run?: 'true' | 'false';
    readonly purge?: 'true' | 'false';
    readonly reason?: string;
  };
  readonly params: { readonly id: string };
};

async function lock(tx: NatsidTransaction, ctx: NatsIdentityContext, call: DeleteCall) {
  const { query } = call;
  const before = await lockAccount(tx, call.principal, call.params.id, { anyState: true });
  checkRevision(call, before.revision);
  refuseVital(before.kind);
  const purge = query.purge === 'true' || before.purge_consent;
  const dryRun = query.dry_run === 'true';
  const locks = before.state === 'active';
  if (!locks && !before.held && purge === before.purge_consent)
    return { ...(await accountDetail(tx, before)), change: changeView(query) };
  await tx
    .updateTable('account')
    .set({
      purge_consent: purge,
      held: false,
      revision: sql<number>`revision + 1`,
      ...((locks || before.held) && {
        state: 'locked' as const,
        state_at: sql<Date>`now()`,
        state_detail: null,
      }),
      state_due_at: sql<Date>`now()`,
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', before.id)
    .execute();
  if (locks) await reissueAccount(tx, ctx, before.id);
  const account = await lockAccount(tx, call.principal, before.id, { anyState: true });
  const { by, traceparent } = acting(call, query.reason);
  const { id, name, public_key } = account;
  await append(tx, {
    type: 'natsid.account.locked',
    tenant_id: account.tenant_id,
    aggregate: `account:${id}`,
    traceparent,
    data: { ...by, id, name, public_key, purge_consent: purge },
  });
  return {
    ...(await accountDetail(tx, account, { dryRun })),
    change: changeView(query, [], {
      accounts: locks ? 1 : 0,
      users: locks ? await activeUsers(tx, id) : 0,
      disconnects: locks,
      clusters: locks ? await clusterCount(tx, account.operator_id) : 0,
    }),
  };
}

/**
 * Who would stay locked because of its streams is told now, if the clusters say so now; who cannot be asked is locked, and
 * the deletion finds out.
 */
async function refuseStreams(ctx: NatsIdentityContext, call: DeleteCall): Promise<void> {
  if (call.query.purge === 'true') return;
  const account = await readAccount(ctx, call.principal, call.params.id);
  if (account.state !== 'active' || account.kind !== 'account') return;
  const { streams } = await hasStreams(ctx, account);
  if (streams > 0)
    throw new Problem('account_not_empty', {
      detail: `The account has ${streams} ${streams === 1 ? 'stream' : 'streams'}: delete them, or consent with purge=true.`,
    });
}

function refuseVital(kind: 'account' | 'system' | 'platform'): void {
  if (kind === 'system')
    throw new Problem('conflict', { detail: 'The system account goes with its operator only.' });
  if (kind === 'platform')
    throw new Problem('conflict', { detail: 'The platform’s own services live in this account.' });
}
