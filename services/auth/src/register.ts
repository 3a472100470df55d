import { append, type Call, newId, Problem, type ProblemCode, retryLater, Uuid } from '@gatehouse/kit';
import type { Registration } from '@gatehouse/schema';
import { sql } from 'kysely';
import Type from 'typebox';
import { StatusName } from './account.ts';
import { type AuthContext, type AuthTransaction, route } from './context.ts';
import {
  actingOf,
  EmailText,
  type Identity,
  identityOf,
  PasswordInput,
  printableText,
  TenantId,
} from './identity.ts';
import { passwordFaults, passwordText } from './password-policy.ts';

const Body = Type.Object(
  {
    tenant_id: TenantId,
    user_id: Type.Optional(Uuid),
    email: EmailText,
    password: PasswordInput,
    name: Type.Optional(printableText({ maxLength: 200, description: 'How the person is called.' })),
  },
  { additionalProperties: false },
);

const Answer = Type.Object({
  user_id: Type.String(),
  tenant_id: Type.String(),
  email: Type.String({ description: 'Canonical form.' }),
  status: StatusName,
});

type Asking = Pick<Call, 'client' | 'trace'>;

export const register = route({
  method: 'POST',
  path: '/api/auth/register',
  access: 'public',
  summary: 'Register an account',
  body: Body,
  status: 201,
  answer: Answer,
  problems: [
    'invalid_email',
    'weak_password',
    'unknown_tenant',
    'registration_closed',
    'email_taken',
    'user_id_taken',
    'rate_limited',
    'hash_busy',
  ],
  // So that an absurdly long password is a 400 that says so, not a 413.
  bodyBytesMax: 256 * 1024,
  refused: (ctx) => async (call, code) => {
    if (code !== 'rate_limited') await refuse(ctx, call, { reason: 'malformed' });
  },
  run: (ctx) => async (call) => {
    const { body } = call;
    const read = identityOf(ctx.config, body);
    if (read.outcome === 'refused') {
      await refuse(ctx, call, { reason: 'invalid_email' });
      throw new Problem('invalid_email', { detail: `The e-mail address is not valid: ${read.reason}.` });
    }
    const { identity } = read;
    // Everything that can be refused without a hash is refused before one.
    const reasons = await passwordFaults(body.password, { email: identity.email, name: body.name });
    if (reasons.length > 0) {
      await refuse(ctx, call, { identity, reason: 'weak_password' });
      throw new Problem('weak_password', { members: { reasons } });
    }
    const closed = await closedFor(ctx.db, identity.tenantId);
    if (closed !== undefined) {
      await refuse(ctx, call, { identity, reason: closed.code });
      throw problemOf(closed);
    }
    const hashed = await hash(ctx, body.password);
    if (hashed.outcome === 'busy') {
      ctx.metrics.register.inc({ result: 'hash_busy' });
      throw retryLater('hash_busy', hashed.retryAfterSeconds);
    }
    const account = {
      id: body.user_id?.toLowerCase() ?? newId(),
      name: body.name ?? null,
      password_hash: hashed.phc,
    };
    const outcome = await ctx.db.transaction().execute((tx) => insert(tx, { call, identity, account }));
    ctx.relay.poke();
    ctx.metrics.register.inc({ result: outcome === 'registered' ? 'success' : outcome });
    if (outcome !== 'registered') throw new Problem(outcome);
    return {
      user_id: account.id,
      tenant_id: identity.tenantId,
      email: identity.email,
      status: 'active' as const,
    };
  },
});

/** Why the tenant takes nobody who comes by themselves. */
interface Closed {
  readonly code: 'unknown_tenant' | 'registration_closed';
  /** What the tenant's policy asks for instead; empty when there is nothing to ask for. */
  readonly detail: string;
}

const problemOf = ({ code, detail }: Closed): Problem => new Problem(code, detail === '' ? {} : { detail });

/** Undefined when the tenant takes whoever comes. */
async function closedFor(db: Pick<AuthContext['db'], 'selectFrom'>, id: string): Promise<Closed | undefined> {
  const tenant = await db
    .selectFrom('tenant')
    .select(['status', 'registration'])
    .where('id', '=', id)
    .executeTakeFirst();
  if (tenant === undefined) return { code: 'unknown_tenant', detail: '' };
  const code = 'registration_closed';
  if (tenant.status !== 'active') return { code, detail: '' };
  return tenant.registration === 'open' ? undefined : { code, detail: policies[tenant.registration] };
}

const policies: Readonly<Record<Exclude<Registration, 'open'>, string>> = {
  application:
    'The registration policy of the tenant is application: an administrator makes the accounts of those who apply.',
  invite:
    'The registration policy of the tenant is invite: an administrator makes the accounts of those invited.',
  closed: 'The registration policy of the tenant is closed: an administrator makes the accounts.',
};

function hash(ctx: AuthContext, input: string) {
  const text = passwordText(input);
  // The policy has passed it already.
  if (text.outcome === 'refused') throw new Problem('weak_password', { members: { reasons: [text.reason] } });
  return ctx.passwords.hash(text.password, 'register');
}

type Refusal = Extract<
  ProblemCode,
  'email_taken' | 'user_id_taken' | 'unknown_tenant' | 'registration_closed'
>;

interface NewAccount {
  readonly call: Asking;
  readonly identity: Identity;
  readonly account: { readonly id: string; readonly name: string | null; readonly password_hash: string };
}

/**
 * One statement decides: the tenant takes people at this moment, and neither the address nor the id is taken. Two at
 * once: the unique constraints let one through, the other waits for it and finds the row.
 * synced_version is 1 at once: token learns of the account with its first sign-in, until then there is nothing to end.
 */
async function insert(
  tx: AuthTransaction,
  { call, identity, account }: NewAccount,
): Promise<'registered' | Refusal> {
  const { tenantId, email } = identity;
  const { rows } = await sql`
    insert into user_account (id, tenant_id, email, name, password_hash, synced_version)
    select ${account.id}, t.id, ${email}, ${account.name}, ${account.password_hash}, 1 from tenant t
    where t.id = ${tenantId} and t.status = 'active' and t.registration = 'open'
      and not exists (select from retired_id where id = ${account.id})
    on conflict do nothing returning id`.execute(tx);
  if (rows.length === 0) {
    const reason = await whyNot(tx, identity);
    await tellFailure(tx, call, { identity, reason });
    return reason;
  }
  await append(tx, {
    type: 'auth.register.success',
    tenant_id: tenantId,
    aggregate: `user:${account.id}`,
    traceparent: call.trace.traceparent,
    data: { ...actingOf(call, account.id), email },
  });
  return 'registered';
}

async function whyNot(tx: AuthTransaction, { tenantId, email }: Identity): Promise<Refusal> {
  const closed = await closedFor(tx, tenantId);
  if (closed !== undefined) return closed.code;
  const taken = await tx
    .selectFrom('user_account')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('email', '=', email)
    .executeTakeFirst();
  // Whose the id is stays untold: it may be another tenant's.
  return taken === undefined ? 'user_id_taken' : 'email_taken';
}

interface Refused {
  readonly identity?: Identity;
  readonly reason: string;
}

async function tellFailure(tx: AuthTransaction, call: Asking, { identity, reason }: Refused): Promise<void> {
  await append(tx, {
    type: 'auth.register.failure',
    tenant_id: reason === 'unknown_tenant' ? null : (identity?.tenantId ?? null),
    aggregate: 'registration',
    traceparent: call.trace.traceparent,
    data: { ...actingOf(call, null), email: identity?.email ?? null, reason },
  });
}

async function refuse(ctx: AuthContext, call: Asking, refused: Refused): Promise<void> {
  await ctx.db.transaction().execute((tx) => tellFailure(tx, call, refused));
  ctx.relay.poke();
  ctx.metrics.register.inc({ result: refused.reason });
}
