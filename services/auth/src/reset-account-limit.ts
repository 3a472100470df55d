import { answersOf, append, isUuid, questions } from '@gatehouse/kit';
import type { Static } from 'typebox';
import type { AuthContext } from './context.ts';
import { identityOf } from './identity.ts';

type Asked = Static<typeof questions.resetAccountLimit.ask>;
type Answered = Static<typeof questions.resetAccountLimit.answer>;

/** Whose attempts are forgotten. */
interface Account {
  readonly tenantId: string;
  readonly email: string;
  readonly userId: string | null;
}

/**
 * Forgets how often an account tried to sign in. Told before it is done, for the counter is in no transaction. What it
 * is counted by is the address, so one that nobody has can be named as well.
 */
export const resetAccountLimit = answersOf<AuthContext>()(
  questions.resetAccountLimit,
  (ctx) =>
    async (asked): Promise<Answered> => {
      const found = await accountOf(ctx, asked.account);
      if (typeof found === 'string') return { outcome: found };
      const limit = ctx.accountLimit;
      if (limit === undefined) return { outcome: 'off' };
      await tell(ctx, found, asked);
      return { outcome: await limit.forget(found) };
    },
);

async function accountOf(
  ctx: AuthContext,
  account: Asked['account'],
): Promise<Account | 'unknown' | 'invalid_email'> {
  if ('user_id' in account) {
    const user = isUuid(account.user_id)
      ? await ctx.db
          .selectFrom('user_account')
          .select(['tenant_id', 'email'])
          .where('id', '=', account.user_id)
          .executeTakeFirst()
      : undefined;
    if (user === undefined) return 'unknown';
    return { tenantId: user.tenant_id, email: user.email, userId: account.user_id };
  }
  const { email, tenant_id } = account;
  const read = identityOf(ctx.config, { email, ...(tenant_id !== null && { tenant_id }) });
  if (read.outcome === 'refused') return 'invalid_email';
  const { identity } = read;
  const user = await ctx.db
    .selectFrom('user_account')
    .select('id')
    .where('tenant_id', '=', identity.tenantId)
    .where('email', '=', identity.email)
    .executeTakeFirst();
  return { ...identity, userId: user?.id ?? null };
}

async function tell(ctx: AuthContext, { tenantId, email, userId }: Account, by: Asked): Promise<void> {
  const { actor_id, reason, client_ip, user_agent, traceparent } = by;
  await ctx.db.transaction().execute((tx) =>
    append(tx, {
      type: 'admin.rate_limit.reset',
      tenant_id: tenantId,
      aggregate: userId === null ? 'rate-limit' : `user:${userId}`,
      traceparent,
      data: {
        ...{ actor_id, reason, client_ip, user_agent },
        ...{ of: 'user', scopes: ['login'], address: null, user_id: userId, email },
      },
    }),
  );
  ctx.relay.poke();
}
