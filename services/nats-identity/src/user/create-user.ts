import { append, newId, Problem, Uuid } from '@gatehouse/kit';
import { createNkey, isPublicKey, type Nkey } from '@gatehouse/nats-claims';
import type { AccountTable, JsonObject } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import Type from 'typebox';
import {
  type Acting,
  acting,
  ChangeView,
  changeQuery,
  changeView,
  diffOf,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { LooseClaims } from '../claim-check.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { NameText } from '../name.ts';
import { disallowsBearer } from '../role/scope.ts';
import { keepSeed } from '../secret.ts';
import { lockAccount, refuseServiceAccount } from '../visible.ts';
import { checkTtl, TtlSeconds } from './lifetime.ts';
import { checkedUserClaims } from './user-jwt.ts';
import { readUser, UserView } from './user-view.ts';

export const createUser = route({
  method: 'POST',
  path: '/api/nats/users',
  access: 'nats.manage',
  summary: 'Make a user of an account',
  description:
    'With a role its permissions come from there and `claims` may hold tags only; without one `claims` are its permissions, and none means all that the account allows. With `public_key` the user keeps its own key: no seed is ever stored, and it gets JWTs only.',
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Type.Object({
    account_id: Uuid,
    name: NameText,
    role_id: Type.Optional(Uuid),
    claims: Type.Optional(LooseClaims),
    public_key: Type.Optional(
      Type.String({ pattern: '^U[A-Z2-7]{55}$', description: 'Public key of a user.' }),
    ),
    ttl_seconds: Type.Optional(TtlSeconds),
    ...reasonBody,
  }),
  status: 201,
  answer: Type.Object({ ...UserView.properties, change: ChangeView }),
  problems: [
    'forbidden',
    'not_found',
    'account_not_active',
    'invalid_claims',
    'user_jwt_too_large',
    'name_taken',
    'public_key_taken',
    'conflict',
  ],
  run: (ctx) => async (call) => {
    const { body, principal, query } = call;
    const { name, public_key: publicKey } = body;
    if (publicKey !== undefined && !isPublicKey(publicKey, 'user'))
      throw new Problem('invalid_request', { detail: 'public_key is not a user’s: its checksum is wrong.' });
    checkTtl(ctx.config, principal, body.ttl_seconds);
    const made = await inChange(ctx, query, async (tx) => {
      const account = await lockAccount(tx, principal, body.account_id);
      await refuseServiceAccount(tx, account);
      const roleId = await roleOf(tx, account.id, body.role_id);
      const claims = checkedUserClaims(body.claims ?? {}, {
        scoped: roleId !== null,
        disallowBearer: disallowsBearer(account.claims),
        name,
      });
      const { id } = await createUserIn(tx, ctx, {
        account,
        name,
        roleId,
        claims,
        ttlSeconds: body.ttl_seconds ?? null,
        acting: acting(call, body.reason),
        publicKey,
      });
      return { ...(await readUser(tx, id)), change: changeView(query, diffOf({}, claims), { users: 1 }) };
    });
    showRevision(call, made.revision);
    return made;
  },
});

/** The role's id when it is one of this account's. @throws Problem `not_found` */
export async function roleOf(
  tx: NatsidTransaction,
  accountId: string,
  roleId: string | null | undefined,
): Promise<string | null> {
  if (roleId === null || roleId === undefined) return null;
  const role = await tx
    .selectFrom('account_key')
    .select('id')
    .where('id', '=', roleId.toLowerCase())
    .where('account_id', '=', accountId)
    .where('role_name', 'is not', null)
    .executeTakeFirst();
  if (role === undefined) throw new Problem('not_found', { detail: 'The account has no such role.' });
  return role.id;
}

/** What {@link createUserIn} is told. */
export interface NewUser {
  readonly account: Pick<Selectable<AccountTable>, 'id' | 'tenant_id'>;
  readonly name: string;
  readonly roleId: string | null;
  /** Checked and complete. */
  readonly claims: JsonObject;
  readonly ttlSeconds: number | null;
  readonly acting: Acting;
  /** Its key, when there is one already. */
  readonly key?: Nkey;
  /** In place of a key: the user keeps its seed. */
  readonly publicKey?: string | undefined;
}

/** Writes a user and its event. The caller holds the account's lock. */
export async function createUserIn(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  user: NewUser,
): Promise<{ readonly id: string; readonly publicKey: string }> {
  const { account, acting: by, name } = user;
  const key = user.publicKey === undefined ? (user.key ?? createNkey('user')) : undefined;
  const publicKey = key?.publicKey ?? user.publicKey ?? '';
  const id = newId();
  const row = {
    id,
    account_id: account.id,
    name,
    public_key: publicKey,
    secret_id: key ? await keepSeed(tx, ctx, 'user', key) : null,
    role_id: user.roleId,
    claims: user.claims,
    ttl_seconds: user.ttlSeconds,
  };
  await tx.insertInto('nats_user').values(row).execute();
  await append(tx, {
    type: 'natsid.user.created',
    tenant_id: account.tenant_id,
    aggregate: `nats_user:${id}`,
    traceparent: by.traceparent,
    data: { ...by.by, id, name, public_key: publicKey, account_id: account.id },
  });
  return { id, publicKey };
}
