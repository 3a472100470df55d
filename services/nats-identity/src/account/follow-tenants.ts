import { append, EVENT_LANE, Problem, questions } from '@gatehouse/kit';
import type { AccountTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import { reissueAccount } from '../account-jwt.ts';
import type { NatsIdentityContext, NatsIdentityJob, NatsidTransaction } from '../context.ts';

/** Tenants in one question. */
const TENANTS_MAX = 500;

/** What an account must be for its tenant's sake. */
type Want = 'open' | 'held' | 'deleted';
type Account = Selectable<AccountTable>;

const wantOf = { active: 'open', disabled: 'held', deleted: 'deleted' } as const satisfies Record<
  string,
  Want
>;
const reasonOf: Readonly<Record<Want, string>> = {
  open: 'its tenant is enabled',
  held: 'its tenant is disabled',
  deleted: 'its tenant was deleted',
};

/**
 * NATS accounts go with their tenant: nobody connects to those of a disabled one, and those of a deleted one are deleted,
 * streams and all. Auth is asked what is, instead of told what happened: so nothing is missed, whatever was down
 * meanwhile, and each account is changed by one transaction, so that a process that dies is followed by another.
 */
export const followTenants: NatsIdentityJob = {
  name: 'nats-tenants',
  everySeconds: 3,
  instances: 'one',
  run: async (ctx) => {
    if (!ctx.peer.services.includes('auth')) return;
    let after = '00000000-0000-0000-0000-000000000000';
    for (;;) {
      const ids = await tenantsAfter(ctx, after);
      const last = ids.at(-1);
      if (last === undefined) return;
      await follow(ctx, ids);
      after = last;
    }
  },
};

async function tenantsAfter(ctx: NatsIdentityContext, after: string): Promise<string[]> {
  const rows = await ctx.db
    .selectFrom('account')
    .select('tenant_id')
    .distinct()
    .where('tenant_id', '>', after)
    .where('state', 'in', ['active', 'locked'])
    .orderBy('tenant_id')
    .limit(TENANTS_MAX)
    .execute();
  return rows.flatMap(({ tenant_id }) => tenant_id ?? []);
}

async function follow(ctx: NatsIdentityContext, ids: readonly string[]): Promise<void> {
  const { tenants } = await ctx.peer.ask(questions.tenantStates, { ids: [...ids] });
  let failed = 0;
  let err: unknown;
  for (const want of ['open', 'held', 'deleted'] as const) {
    const wanting = tenants.filter(({ status }) => wantOf[status] === want).map(({ tenant_id }) => tenant_id);
    for (const id of await accountsToChange(ctx, wanting, want)) {
      try {
        await ctx.db.transaction().execute((tx) => change(tx, ctx, { id, want }));
        ctx.relay.poke(EVENT_LANE);
        ctx.reconciler.poke();
      } catch (error) {
        // One whose operator has no key here must not keep the others from being locked.
        if (!(error instanceof Problem)) throw error;
        failed += 1;
        err = error;
      }
    }
  }
  if (failed > 0) ctx.log.warn({ err, failed }, 'nats accounts could not follow their tenants');
}

async function accountsToChange(
  ctx: NatsIdentityContext,
  tenants: readonly string[],
  want: Want,
): Promise<string[]> {
  if (tenants.length === 0) return [];
  const rows = await ctx.db
    .selectFrom('account')
    .select('id')
    .where('tenant_id', 'in', tenants)
    .where('kind', '=', 'account')
    .where(differing[want])
    .orderBy('id')
    .execute();
  return rows.map(({ id }) => id);
}

/** What is not yet as it must be. A deletion that somebody asked for stays one, and gets the consent to purge. */
const differing: Readonly<Record<Want, ReturnType<typeof sql<boolean>>>> = {
  open: sql<boolean>`held`,
  held: sql<boolean>`state = 'active'`,
  deleted: sql<boolean>`(state = 'active' or held or state = 'locked' and not purge_consent)`,
};

async function change(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  { id, want }: { readonly id: string; readonly want: Want },
): Promise<void> {
  const before = await tx
    .selectFrom('account')
    .selectAll()
    .where('id', '=', id)
    .where(differing[want])
    .forUpdate()
    .executeTakeFirst();
  // Somebody was faster.
  if (before === undefined) return;
  const open = want === 'open';
  const turns = open || before.state === 'active';
  await tx
    .updateTable('account')
    .set({
      state: open ? 'active' : 'locked',
      held: want === 'held',
      purge_consent: want === 'deleted',
      state_at: sql<Date>`now()`,
      state_due_at: sql<Date>`now()`,
      state_detail: open ? null : reasonOf[want],
      revision: sql<number>`revision + 1`,
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', id)
    .execute();
  if (turns) await reissueAccount(tx, ctx, id);
  await tell(tx, before, want);
}

async function tell(
  tx: NatsidTransaction,
  { id, name, public_key, tenant_id }: Account,
  want: Want,
): Promise<void> {
  const about = { tenant_id, aggregate: `account:${id}`, traceparent: null };
  const data = {
    ...{ actor_id: null, reason: reasonOf[want], client_ip: null, user_agent: null },
    ...{ id, name, public_key },
  };
  if (want === 'open') await append(tx, { ...about, type: 'natsid.account.restored', data });
  else
    await append(tx, {
      ...about,
      type: 'natsid.account.locked',
      data: { ...data, purge_consent: want === 'deleted' },
    });
}
