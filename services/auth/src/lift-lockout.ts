import { type AdminCall, administeredBy, append } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { Party } from './administration.ts';
import type { AuthContext, AuthTransaction } from './context.ts';
import { actingOf, digestOf } from './identity.ts';

/** Who is freed of a lockout, and why. */
interface Lifting {
  readonly target: Party;
  readonly reason: string;
}

/** `admin.user.status_changed`: every change of what a user may do, with its reason. */
export async function tellStatus(
  tx: AuthTransaction,
  call: AdminCall,
  { target, reason, before, after }: Lifting & { readonly before: string; readonly after: string },
): Promise<void> {
  await append(tx, {
    type: 'admin.user.status_changed',
    tenant_id: target.tenant_id,
    aggregate: `user:${target.id}`,
    traceparent: call.trace.traceparent,
    data: { ...administeredBy(call, reason), user_id: target.id, before, after },
  });
}

/** What was lifted: a lockout, or failures that had not come to one yet. */
export type Lifted = 'locked_out' | 'failed_sign_ins';

/** Takes back the lockout after failed sign-ins, and the failures counted so far; undefined when there were none. */
export async function liftLockout(
  tx: AuthTransaction,
  call: AdminCall,
  target: Party,
): Promise<Lifted | undefined> {
  const { rows } = await sql<{ failures: number; locked: boolean | null }>`
    delete from lockout where tenant_id = ${target.tenant_id} and identity = ${digestOf(target.email)}
      and (failures > 0 or locked_until > now())
    returning failures, locked_until > now() as locked`.execute(tx);
  const [lifted] = rows;
  if (lifted === undefined) return undefined;
  await append(tx, {
    type: 'auth.lockout',
    tenant_id: target.tenant_id,
    aggregate: `user:${target.id}`,
    traceparent: call.trace.traceparent,
    data: {
      ...actingOf(call, target.id),
      email: target.email,
      action: 'unlocked',
      failures: lifted.failures,
      locked_until: null,
    },
  });
  return lifted.locked === true ? 'locked_out' : 'failed_sign_ins';
}

/** What counts sign-ins outside the database forgets them too; after the commit. */
export async function forgetAttempts(ctx: AuthContext, target: Party): Promise<void> {
  ctx.metrics.lockoutEvents.inc({ action: 'unlocked' });
  await ctx.accountLimit?.forget({ tenantId: target.tenant_id, email: target.email });
}
