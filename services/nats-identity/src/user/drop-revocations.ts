import { append } from '@gatehouse/kit';
import { sql } from 'kysely';
import { reissueAccount } from '../account-jwt.ts';
import { platformActs } from '../change.ts';
import type { NatsIdentityContext, NatsIdentityJob, NatsidTransaction } from '../context.ts';

/** A server whose clock is slow still takes for valid what has expired here. */
const SLACK = sql`interval '1 hour'`;
const ACCOUNTS_PER_RUN = 100;

/**
 * Drops revocations once everything that they name has expired: they would stay in the account's JWT for ever. An
 * account is issued anew once, however many of its revocations go.
 */
export const dropRevocations: NatsIdentityJob = {
  name: 'nats-revocation-drop',
  everySeconds: 600,
  instances: 'one',
  run: async (ctx) => {
    const { rows } = await sql<{ account_id: string }>`
      select distinct r.account_id from revocation r join account a on a.id = r.account_id
      where r.until < now() - ${SLACK} and a.state in ('active', 'locked')
      limit ${ACCOUNTS_PER_RUN}`.execute(ctx.db);
    for (const { account_id } of rows) {
      try {
        await ctx.db.transaction().execute((tx) => dropOf(tx, ctx, account_id));
      } catch (err) {
        // One account whose operator key is away must not keep the others' revocations.
        ctx.log.warn({ err, account_id }, 'revocations of an account were not dropped');
      }
    }
    if (rows.length === 0) return;
    ctx.relay.poke();
    ctx.reconciler.poke();
  },
};

async function dropOf(tx: NatsidTransaction, ctx: NatsIdentityContext, accountId: string): Promise<void> {
  const account = await tx
    .selectFrom('account')
    .select(['id', 'tenant_id', 'public_key'])
    .where('id', '=', accountId)
    .where('state', 'in', ['active', 'locked'])
    .forUpdate()
    .executeTakeFirst();
  if (account === undefined) return;
  // The ledger has the last word: whatever became of `until`, what may still be valid stays dead.
  const { rows } = await sql<{ public_key: string }>`
    delete from revocation r where r.account_id = ${accountId} and r.until < now() - ${SLACK}
      and not exists (
        select from credential c
        where c.account_id = r.account_id and (r.public_key = '*' or c.public_key = r.public_key)
          and c.iat <= r.before and (c.expires_at is null or c.expires_at > now() - ${SLACK}))
    returning public_key`.execute(tx);
  if (rows.length === 0) return;
  await reissueAccount(tx, ctx, accountId);
  for (const { public_key } of rows)
    await append(tx, {
      type: 'natsid.revocation.dropped',
      tenant_id: account.tenant_id,
      aggregate: `account:${accountId}`,
      traceparent: platformActs.traceparent,
      data: { ...platformActs.by, account_id: accountId, account_key: account.public_key, public_key },
    });
}
