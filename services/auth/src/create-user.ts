import { randomInt } from 'node:crypto';
import {
  type AdminCall,
  administeredBy,
  append,
  covers,
  may,
  newId,
  Problem,
  Reason,
  reasonGiven,
  retryLater,
  Uuid,
} from '@gatehouse/kit';
import type { Role } from '@gatehouse/schema';
import { sql } from 'kysely';
import Type from 'typebox';
import { RoleName, rolesOf } from './account.ts';
import { type Refused, refused, takeTurn } from './administration.ts';
import { type AuthContext, type AuthTransaction, route } from './context.ts';
import { EmailText, type Identity, identityOf, PasswordInput, printableText } from './identity.ts';
import { passwordFaults, passwordText } from './password-policy.ts';
import { readUser, UserView } from './user-view.ts';

const Body = Type.Object({
  tenant_id: Type.Optional(Uuid),
  email: EmailText,
  password: Type.Optional(PasswordInput),
  name: Type.Optional(printableText({ maxLength: 200, description: 'How the person is called.' })),
  role: Type.Optional(RoleName),
  reason: Reason,
});

export const createUser = route({
  method: 'POST',
  path: '/api/admin/users',
  access: 'users.manage',
  summary: 'Make a user',
  description:
    'In the own tenant unless a platform administrator names another, whatever its registration policy says. A role above USER needs users.grant besides, and is never above the own. Without a password one is made and shown in this answer only.',
  body: Body,
  status: 201,
  answer: Type.Object({
    ...UserView.properties,
    initial_password: Type.Union([Type.String(), Type.Null()], {
      description: 'The password that was made because none was given: shown this once. Otherwise null.',
    }),
  }),
  problems: [
    'invalid_email',
    'weak_password',
    'reason_required',
    'role_too_high',
    'unknown_tenant',
    'conflict',
    'email_taken',
    'hash_busy',
  ],
  bodyBytesMax: 256 * 1024,
  run: (ctx) => async (call) => {
    const { body, principal } = call;
    const read = identityOf(ctx.config, {
      email: body.email,
      tenant_id: body.tenant_id ?? principal.tenantId,
    });
    if (read.outcome === 'refused')
      throw new Problem('invalid_email', { detail: `The e-mail address is not valid: ${read.reason}.` });
    const { identity } = read;
    const wanted = {
      identity,
      id: newId(),
      name: body.name ?? null,
      role: body.role ?? 'USER',
      reason: reasonGiven(body),
    };
    // Before the hash, which is dear; and again with the insert, where it counts.
    const first = await ctx.db.transaction().execute((tx) => judge(tx, call, wanted));
    if (first !== undefined) throw problemOf(first);
    const made = body.password === undefined ? randomPassword() : null;
    const password_hash = await hashOf(ctx, made ?? body.password ?? '', wanted);
    const outcome = await ctx.db
      .transaction()
      .execute((tx) => insert(tx, call, { ...wanted, password_hash }));
    if (outcome !== undefined) throw problemOf(outcome);
    ctx.relay.poke();
    return { ...(await readUser(ctx, principal, wanted.id)), initial_password: made };
  },
});

interface Wanted {
  readonly identity: Identity;
  readonly id: string;
  readonly name: string | null;
  readonly role: Role;
  readonly reason: string;
}

const problemOf = ({ code }: Refused): Problem =>
  code === 'conflict'
    ? new Problem(code, { detail: 'The tenant is disabled: enable it first.' })
    : new Problem(code);

/** Why not; undefined when it may be. By what the actor is now, not by what the token says. */
async function judge(tx: AuthTransaction, call: AdminCall, wanted: Wanted): Promise<Refused | undefined> {
  const { tenantId, email } = wanted.identity;
  const actor = await tx
    .selectFrom('user_account')
    .select(['tenant_id', 'role', 'status'])
    .where('id', '=', call.principal.userId)
    .executeTakeFirst();
  const holds = actor?.status === 'active' ? { roles: rolesOf(actor.role) } : { roles: [] };
  if (actor === undefined || !may(holds, 'users.manage')) return refused('forbidden');
  if (actor.tenant_id !== tenantId && !may(holds, 'tenants.all')) return refused('unknown_tenant');
  const tenant = await tx.selectFrom('tenant').select('status').where('id', '=', tenantId).executeTakeFirst();
  if (tenant === undefined) return refused('unknown_tenant');
  if (wanted.role !== 'USER' && !(may(holds, 'users.grant') && covers(actor.role, wanted.role)))
    return refused('role_too_high');
  if (wanted.reason === '') return refused('reason_required');
  if (tenant.status !== 'active') return refused('conflict');
  const taken = await tx
    .selectFrom('user_account')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('email', '=', email)
    .executeTakeFirst();
  return taken === undefined ? undefined : refused('email_taken');
}

async function hashOf(ctx: AuthContext, input: string, { identity, name }: Wanted): Promise<string> {
  const reasons = await passwordFaults(input, { email: identity.email, name: name ?? undefined });
  const text = passwordText(input);
  if (reasons.length > 0 || text.outcome === 'refused')
    throw new Problem('weak_password', { members: { reasons } });
  const hashed = await ctx.passwords.hash(text.password, 'create_user');
  if (hashed.outcome === 'busy') throw retryLater('hash_busy', hashed.retryAfterSeconds);
  return hashed.phc;
}

async function insert(
  tx: AuthTransaction,
  call: AdminCall,
  wanted: Wanted & { readonly password_hash: string },
): Promise<Refused | undefined> {
  await takeTurn(tx);
  const refusal = await judge(tx, call, wanted);
  if (refusal !== undefined) return refusal;
  const { id, identity, name, role, reason, password_hash } = wanted;
  // synced_version is 1 at once, as at a registration: token learns of the account with its first sign-in.
  const { rows } = await sql`
    insert into user_account (id, tenant_id, email, name, password_hash, role, synced_version)
    values (${id}, ${identity.tenantId}, ${identity.email}, ${name}, ${password_hash}, ${role}, 1)
    on conflict do nothing returning id`.execute(tx);
  // Somebody has just registered with it: registrations do not wait for administrators.
  if (rows.length === 0) return refused('email_taken');
  await append(tx, {
    type: 'admin.user.created',
    tenant_id: identity.tenantId,
    aggregate: `user:${id}`,
    traceparent: call.trace.traceparent,
    data: { ...administeredBy(call, reason), user_id: id, email: identity.email, role },
  });
  return undefined;
}

/** Without 0, 1, i, l, o and u: to be read out and typed without a mistake. */
const ALPHABET = '23456789abcdefghjkmnpqrstvwxyz';
const GROUPS = 5;

/** 25 characters, 122 bits. */
function randomPassword(): string {
  const group = () => Array.from({ length: 5 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
  return Array.from({ length: GROUPS }, group).join('-');
}
