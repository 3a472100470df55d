import { randomBytes } from 'node:crypto';
import { append, newId } from '@gatehouse/kit';
import {
  type AuthDatabase,
  assertCompatible,
  connect,
  DEFAULT_TENANT_ID,
  type TenantStatus,
} from '@gatehouse/schema';
import { type Kysely, sql } from 'kysely';
import { takeTurn } from './administration.ts';
import type { AuthTransaction } from './context.ts';
import { createHasher } from './hash.ts';
import { type Identity, identityOf } from './identity.ts';

/** Whom to make an administrator, and what the audit shall say of it. */
export interface BreakGlass {
  readonly email: string;
  /** The default tenant unless given. */
  readonly tenantId?: string | undefined;
  readonly reason: string;
  /** Name of the host and of the account on it. */
  readonly machine: string;
  /** Enables the tenant when it is disabled; its other users can then sign in too. */
  readonly enableTenant: boolean;
}

/** What became of it. */
export type BreakGlassOutcome =
  | {
      readonly outcome: 'done';
      readonly userId: string;
      readonly tenantId: string;
      readonly email: string;
      /** False: the account was there, and its role, status, password and lockout were set. */
      readonly made: boolean;
      readonly tenantEnabled: boolean;
      /** To be shown once; nobody else knows it, and it is stored nowhere. */
      readonly password: string;
    }
  | {
      readonly outcome: 'refused';
      /** `email`: it is none; `reason` says what is wrong with it. */
      readonly code: 'email' | 'no_tenant' | 'tenant_disabled' | 'tenant_deleting';
      readonly reason: string;
    };

/** 192 bits: nobody guesses it, so it needs neither a policy nor the installation's pepper. */
const PASSWORD_BYTES = 24;

/**
 * Makes or restores a platform administrator by the database's own password, for when nobody can sign in who could do
 * it. One transaction: the account, the order to end its old sessions, and the critical event. The services need not
 * run; token hears of it from auth within a second when they do, and at their start when they do not.
 *
 * @throws PendingMigrations, NewerDatabase, InvalidDatabaseUrl
 *
 * The hash is made without the pepper, which this command need not know: such a hash verifies everywhere, and the first
 * sign-in renews it with the pepper.
 */
export async function breakGlass(databaseUrl: string, wanted: BreakGlass): Promise<BreakGlassOutcome> {
  const read = identityOf(
    { DEFAULT_TENANT_ID },
    { email: wanted.email, ...(wanted.tenantId !== undefined && { tenant_id: wanted.tenantId }) },
  );
  if (read.outcome === 'refused') return { outcome: 'refused', code: 'email', reason: read.reason };
  const password = randomBytes(PASSWORD_BYTES).toString('base64url');
  const phc = await hashed(password);
  const { db, close } = connect<AuthDatabase>({
    url: databaseUrl,
    service: 'auth',
    poolMax: 1,
    applicationName: 'gatehouse-break-glass',
  });
  try {
    await assertCompatible(db);
    const outcome = await inTurn(db, { ...wanted, identity: read.identity, phc });
    return outcome.outcome === 'refused' ? outcome : { ...outcome, password };
  } finally {
    await close();
  }
}

async function hashed(password: string): Promise<string> {
  const hasher = createHasher({ maxConcurrent: 1, niceIncrement: 0 });
  try {
    const outcome = await hasher.hash(password);
    if (outcome.outcome === 'busy') throw new Error('no place to hash the password');
    return outcome.phc;
  } finally {
    await hasher.close();
  }
}

interface Change extends BreakGlass {
  readonly identity: Identity;
  readonly phc: string;
}

type Done = Omit<Extract<BreakGlassOutcome, { outcome: 'done' }>, 'password'>;
type Refusal = Extract<BreakGlassOutcome, { outcome: 'refused' }>;

const refused = (code: Refusal['code'], reason: string): Refusal => ({ outcome: 'refused', code, reason });

function inTurn(db: Kysely<AuthDatabase>, change: Change): Promise<Done | Refusal> {
  const { tenantId, email } = change.identity;
  return db.transaction().execute(async (tx) => {
    await takeTurn(tx);
    const tenant = await openTenant(tx, change);
    if (tenant.outcome === 'refused') return tenant;
    const { id: userId, made } = await putAdministrator(tx, change);
    await tx
      .deleteFrom('lockout')
      .where('tenant_id', '=', tenantId)
      .where('identity', '=', change.identity.digest)
      .execute();
    await append(tx, {
      type: 'admin.break_glass',
      tenant_id: tenantId,
      aggregate: `user:${userId}`,
      traceparent: null,
      data: { ...unnamed(change.reason), user_id: userId, machine: change.machine, made },
    });
    return { outcome: 'done', userId, tenantId, email, made, tenantEnabled: tenant.outcome === 'enabled' };
  });
}

/** Whoever has the database's password gives no name; the machine and the reason must do. */
const unnamed = (reason: string) => ({ actor_id: null, reason, client_ip: null, user_agent: null });

async function openTenant(
  tx: AuthTransaction,
  { identity, reason, enableTenant }: Change,
): Promise<Refusal | { readonly outcome: 'open' | 'enabled' }> {
  const id = identity.tenantId;
  const tenant = await tx
    .selectFrom('tenant')
    .select(['status', 'registration', 'delete_after'])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (tenant === undefined) return refused('no_tenant', `there is no tenant ${id}`);
  if (tenant.delete_after !== null)
    return refused('tenant_deleting', 'the tenant is to be deleted: name an account of another by --tenant');
  if (tenant.status === 'active') return { outcome: 'open' };
  if (!enableTenant)
    return refused(
      'tenant_disabled',
      'the tenant is disabled and nobody of it can sign in: say --enable-tenant, or name another by --tenant',
    );
  await tx
    .updateTable('tenant')
    .set({ status: 'active', version: sql<number>`version + 1`, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .execute();
  const state = (status: TenantStatus) => ({ status, registration: tenant.registration });
  await append(tx, {
    type: 'admin.tenant.changed',
    tenant_id: id,
    aggregate: `tenant:${id}`,
    traceparent: null,
    data: { ...unnamed(reason), before: state(tenant.status), after: state('active') },
  });
  return { outcome: 'enabled' };
}

/** Of two at once the second finds the account of the first: it is restored again, with another password. */
async function putAdministrator(
  tx: AuthTransaction,
  { identity: { tenantId, email }, phc }: Change,
): Promise<{ readonly id: string; readonly made: boolean }> {
  const id = newId();
  const row = await tx
    .insertInto('user_account')
    .values({ id, tenant_id: tenantId, email, name: null, password_hash: phc, role: 'PLATFORM_ADMIN' })
    .onConflict((conflict) =>
      conflict.columns(['tenant_id', 'email']).doUpdateSet({
        role: 'PLATFORM_ADMIN',
        status: 'active',
        password_hash: phc,
        password_changed_at: sql<Date>`now()`,
        updated_at: sql<Date>`now()`,
        version: sql<number>`user_account.version + 1`,
      }),
    )
    .returning('id')
    .executeTakeFirstOrThrow();
  if (row.id === id) return { id, made: true };
  // Whoever had the old password may still be in.
  await tx
    .insertInto('session_end')
    .values({
      id: newId(),
      user_id: row.id,
      except_session: null,
      client_ip: null,
      user_agent: 'gatehouse admin break-glass',
      traceparent: null,
    })
    .execute();
  return { id: row.id, made: false };
}
