import { Problem } from '@gatehouse/kit';
import { CompiledQuery } from 'kysely';
import { accountSigner } from '../account/signer.ts';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import { type ChangeView, changeView, inChange } from '../change.ts';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { revokeKey } from '../revocation/revoke.ts';
import { tellRevoked } from '../revocation/tell-revoked.ts';
import type { Issued, IssueOrder, Issuer } from './issue.ts';
import { factsSql, type IssueFacts, refuseUnissuable } from './issue-facts.ts';
import { recordSql, recordValues } from './issue-record.ts';
import { lockUser } from './user-row.ts';

/**
 * Issues credentials that take the place of all earlier ones of the user: these are revoked in the same transaction, and
 * stand in the ledger as superseded. Servers close their connections when the account's new JWT arrives.
 */
export async function supersede(
  ctx: NatsIdentityContext,
  issuer: Issuer,
  order: IssueOrder,
): Promise<Issued & { readonly change: ChangeView }> {
  const { call, reason } = order;
  const query = { dry_run: order.dryRun ? 'true' : 'false' };
  return inChange(ctx, query, async (tx) => {
    const { account, user } = await lockUser(tx, call.principal, order.userId);
    refuseUnissuable(await factsOf(tx, user.id));
    const revoked = await revokeKey(tx, account, user.public_key, { reason, as: 'superseded' });
    await reissueAccount(tx, ctx, account.id);
    await tellRevoked(tx, {
      account,
      call,
      reason,
      publicKey: user.public_key,
      count: revoked.credentials,
    });
    let facts = await factsOf(tx, user.id);
    if (facts.signer_id === null) {
      await accountSigner(tx, ctx, account.id);
      facts = await factsOf(tx, user.id);
    }
    const { record, ...issued } = issuer.make(facts, order);
    const { rows } = await tx.executeQuery(CompiledQuery.raw(recordSql, recordValues([record])));
    if (rows.length !== 1) throw new Problem('conflict');
    const clusters = await clusterCount(tx, account.operator_id);
    const disconnects = revoked.credentials > 0 || revoked.until === null;
    return { ...issued, change: changeView(query, [], { accounts: 1, users: 1, disconnects, clusters }) };
  });
}

async function factsOf(tx: NatsidTransaction, userId: string): Promise<IssueFacts> {
  const { rows } = await tx.executeQuery(CompiledQuery.raw(factsSql, [[userId]]));
  const [facts] = rows as IssueFacts[];
  if (facts === undefined) throw new Problem('not_found');
  return facts;
}
