import { append, Uuid } from '@gatehouse/kit';
import type { ClaimChange } from '@gatehouse/nats-claims';
import type { JsonObject } from '@gatehouse/schema';
import { sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  actedBy,
  type ChangeCall,
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  diffOf,
  inChange,
  mergePatch,
  reasonBody,
  showRevision,
  toldChanges,
} from '../change.ts';
import { ClaimsPatch, invalidClaims } from '../claim-check.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { NameText } from '../name.ts';
import { revokeKey } from '../revocation/revoke.ts';
import { tellRevoked } from '../revocation/tell-revoked.ts';
import { disallowsBearer } from '../role/scope.ts';
import { roleOf } from './create-user.ts';
import { checkTtl, TtlSeconds } from './lifetime.ts';
import { checkedUserClaims, scopedClaims } from './user-jwt.ts';
import { type LockedUser, lockUser } from './user-row.ts';
import { readUser, UserView } from './user-view.ts';

const Body = Type.Object({
  name: Type.Optional(NameText),
  role_id: Type.Optional(Type.Union([Uuid, Type.Null()])),
  claims: Type.Optional(ClaimsPatch),
  ttl_seconds: Type.Optional(Type.Union([TtlSeconds, Type.Null()])),
  revoke_issued: Type.Optional(
    Type.Boolean({
      description: 'Revoke what was issued before, in the same change: connections under it are closed.',
    }),
  ),
  ...reasonBody,
});

export const changeUser = route({
  method: 'PATCH',
  path: '/api/nats/users/:id',
  access: 'nats.manage',
  summary: 'Change a user',
  description:
    'What was issued before stays as it is and valid until it expires or is revoked: `still_valid` counts it. revoke_issued revokes it in the same change. `claims` is a JSON merge patch (RFC 7396). A user that leaves its role needs `claims` of its own in the same call; one that gets a role loses its own permissions.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  answer: Type.Object({
    ...UserView.properties,
    still_valid: Type.Integer({ description: 'Credentials issued before that are still valid as they are.' }),
    change: ChangeView,
  }),
  problems: [
    'not_found',
    'account_not_active',
    'invalid_claims',
    'user_jwt_too_large',
    'name_taken',
    'precondition_failed',
    'no_signing_key',
    'conflict',
  ],
  run: (ctx) => async (call) => {
    checkTtl(ctx.config, call.principal, call.body.ttl_seconds);
    const outcome = await inChange(ctx, call.query, (tx) => change(tx, ctx, call));
    showRevision(call, outcome.revision);
    return outcome;
  },
});

type ChangeUserCall = ChangeCall & {
  readonly body: Static<typeof Body>;
  readonly query: { readonly dry_run?: 'true' | 'false' };
  readonly params: { readonly id: string };
};

async function change(tx: NatsidTransaction, ctx: NatsIdentityContext, call: ChangeUserCall) {
  const { body, query, params, principal } = call;
  const locked = await lockUser(tx, principal, params.id);
  const { account, user } = locked;
  checkRevision(call, user.revision);
  const after = await userAfter(tx, locked, body);
  const diff = differences(user, after);
  if (diff.length > 0) {
    await tx
      .updateTable('nats_user')
      .set({ ...after, revision: sql<number>`revision + 1`, updated_at: sql<Date>`now()` })
      .where('id', '=', user.id)
      .execute();
    await append(tx, {
      type: 'natsid.user.changed',
      tenant_id: account.tenant_id,
      aggregate: `nats_user:${user.id}`,
      traceparent: call.trace.traceparent,
      data: {
        ...actedBy(call, body.reason),
        id: user.id,
        name: after.name,
        public_key: user.public_key,
        account_id: account.id,
        changes: toldChanges(diff),
      },
    });
  }
  const effect = body.revoke_issued
    ? await revokeIssued(tx, ctx, { call, locked })
    : { still_valid: await stillValid(tx, user.id), affected: { users: diff.length > 0 ? 1 : 0 } };
  return {
    ...(await readUser(tx, user.id)),
    still_valid: effect.still_valid,
    change: changeView(query, diff, effect.affected),
  };
}

type UserAfter = Pick<LockedUser['user'], 'name' | 'role_id' | 'claims' | 'ttl_seconds'>;

async function userAfter(
  tx: NatsidTransaction,
  { account, user }: LockedUser,
  body: Static<typeof Body>,
): Promise<UserAfter> {
  const role_id = body.role_id === undefined ? user.role_id : await roleOf(tx, account.id, body.role_id);
  const scoped = role_id !== null;
  // Without this a user would leave its role for everything that the account allows.
  if (user.role_id !== null && !scoped && body.claims === undefined)
    throw invalidClaims([
      { path: '', message: 'A user that leaves its role needs claims of its own: {} means no bounds.' },
    ]);
  const before = scoped ? scopedClaims(user.claims) : user.claims;
  const name = body.name ?? user.name;
  const claims = checkedUserClaims(mergePatch(before, body.claims ?? {}) as JsonObject, {
    before: user.claims,
    scoped,
    disallowBearer: disallowsBearer(account.claims),
    name,
  });
  const ttl_seconds = body.ttl_seconds === undefined ? user.ttl_seconds : body.ttl_seconds;
  return { name, role_id, claims, ttl_seconds };
}

function differences(before: UserAfter, after: UserAfter): ClaimChange[] {
  const fields = (['name', 'role_id', 'ttl_seconds'] as const).filter((key) => before[key] !== after[key]);
  return [
    ...fields.map((key) => ({ path: key, before: before[key], after: after[key] })),
    ...diffOf(before.claims, after.claims),
  ];
}

async function revokeIssued(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  { call, locked: { account, user } }: { call: ChangeUserCall; locked: LockedUser },
) {
  const revoked = await revokeKey(tx, account, user.public_key, { reason: call.body.reason });
  await reissueAccount(tx, ctx, account.id);
  await tellRevoked(tx, {
    account,
    call,
    reason: call.body.reason,
    publicKey: user.public_key,
    count: revoked.credentials,
  });
  const clusters = await clusterCount(tx, account.operator_id);
  return { still_valid: 0, affected: { accounts: 1, users: 1, disconnects: true, clusters } };
}

async function stillValid(tx: NatsidTransaction, userId: string): Promise<number> {
  const { count } = await tx
    .selectFrom('credential')
    .select(sql<number>`count(*)::int4`.as('count'))
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .where('superseded_at', 'is', null)
    .where(sql<boolean>`(expires_at is null or expires_at > now())`)
    .executeTakeFirstOrThrow();
  return count;
}
