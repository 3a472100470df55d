import { append, ConfigError, newId } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { AuthContext, AuthTransaction } from './context.ts';
import { type Identity, identityOf } from './identity.ts';
import { passwordFaults, passwordText } from './password-policy.ts';

/**
 * Makes the first platform administrator when there is none and the settings name one. Several instances may start at
 * once: one makes it, the others wait for it. Without effect as soon as there is one, whatever the settings say then.
 * @throws ConfigError, one line, when the settings cannot be used.
 */
export async function makeFirstAdministrator(ctx: AuthContext): Promise<void> {
  await requireDefaultTenant(ctx);
  const { GATEHOUSE_ADMIN_EMAIL: email, GATEHOUSE_ADMIN_PASSWORD: given } = ctx.config;
  if (email === undefined || given === undefined || (await hasOne(ctx.db))) return;
  const read = identityOf(ctx.config, { email });
  if (read.outcome === 'refused')
    throw new ConfigError([`GATEHOUSE_ADMIN_EMAIL cannot be used: ${read.reason}`]);
  const password = await fitPassword(given, read.identity);
  const hashed = await ctx.passwords.hash(password, 'first_administrator');
  if (hashed.outcome === 'busy') throw new Error('no place to hash the password of the first administrator');
  const made = await ctx.db.transaction().execute((tx) => make(tx, read.identity, hashed.phc));
  if (made === 'taken')
    throw new ConfigError([
      'GATEHOUSE_ADMIN_EMAIL belongs to an account that is no administrator: name another address',
    ]);
  if (made !== 'made') return;
  ctx.relay.poke();
  ctx.log.info({ tenant_id: read.identity.tenantId }, 'first administrator made');
}

async function requireDefaultTenant(ctx: AuthContext): Promise<void> {
  const found = await ctx.db
    .selectFrom('tenant')
    .select('id')
    .where('id', '=', ctx.config.DEFAULT_TENANT_ID)
    .executeTakeFirst();
  if (found === undefined)
    throw new ConfigError([
      'DEFAULT_TENANT_ID names a tenant that does not exist: make it first, or leave it out',
    ]);
}

async function hasOne(db: Pick<AuthTransaction, 'selectFrom'>): Promise<boolean> {
  const found = await db
    .selectFrom('user_account')
    .select('id')
    .where('role', '=', 'PLATFORM_ADMIN')
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

async function fitPassword(given: string, { email }: Identity): Promise<string> {
  const faults = await passwordFaults(given, { email });
  const text = passwordText(given);
  if (faults.length === 0 && text.outcome === 'ok') return text.password;
  const why = faults.map(({ message }) => message).join(' ');
  throw new ConfigError([`GATEHOUSE_ADMIN_PASSWORD is too weak: ${why}`]);
}

async function make(
  tx: AuthTransaction,
  { tenantId, email }: Identity,
  phc: string,
): Promise<'made' | 'taken' | 'there'> {
  await sql`select pg_advisory_xact_lock(hashtextextended('gatehouse.auth.administration', 0))`.execute(tx);
  if (await hasOne(tx)) return 'there';
  const id = newId();
  const inserted = await tx
    .insertInto('user_account')
    .values({
      id,
      tenant_id: tenantId,
      email,
      name: null,
      password_hash: phc,
      role: 'PLATFORM_ADMIN',
      synced_version: 1,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst();
  // Whoever registered that address before would become administrator of everything.
  if (inserted === undefined) return 'taken';
  await append(tx, {
    type: 'admin.user.created',
    tenant_id: tenantId,
    aggregate: `user:${id}`,
    traceparent: null,
    data: {
      actor_id: null,
      reason: 'first start',
      client_ip: null,
      user_agent: null,
      user_id: id,
      email,
      role: 'PLATFORM_ADMIN',
    },
  });
  return 'made';
}
