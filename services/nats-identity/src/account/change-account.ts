import { append, tenantScope, Uuid } from '@gatehouse/kit';
import type { ClaimChange } from '@gatehouse/nats-claims';
import type { AccountTable, JsonObject } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  acting,
  type ChangeCall,
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
import { ClaimsPatch } from '../claim-check.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { NameText } from '../name.ts';
import { lockAccount } from '../visible.ts';
import { checkedAccountClaims } from './account-claims.ts';
import { AccountChanged, accountDetail } from './account-view.ts';
import { checkTenantChange, exceeded, readAllowance } from './allowance.ts';
import { ExpiryTime, expiryOf } from './expiry.ts';
import { ACCOUNT_BODY_BYTES_MAX } from './make-account.ts';
import { systemAccountKey } from './system-account.ts';

type Account = Selectable<AccountTable>;

const Body = Type.Object(
  {
    name: Type.Optional(NameText),
    claims: Type.Optional(ClaimsPatch),
    expires_at: Type.Optional(Type.Union([ExpiryTime, Type.Null()])),
    ...reasonBody,
  },
  { minProperties: 1 },
);

export const changeAccount = route({
  method: 'PATCH',
  path: '/api/nats/accounts/:id',
  access: 'nats.manage',
  summary: 'Change an account',
  description:
    'Limits, imports, exports, mappings, default permissions, trace, cluster traffic and callout are `claims`. Every cluster of the operator gets the new JWT. A tenant’s administrator stays within the allowance, may bring an expiry forward but not put it off, and may neither set `cluster_traffic` nor import from the system account.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  bodyBytesMax: ACCOUNT_BODY_BYTES_MAX,
  answer: AccountChanged,
  problems: [
    'invalid_claims',
    'account_jwt_too_large',
    'not_found',
    'name_taken',
    'allowance_exceeded',
    'account_not_active',
    'no_signing_key',
    'precondition_failed',
  ],
  run: (ctx) => async (call) => {
    const answer = await inChange(ctx, call.query, (tx) => change(tx, ctx, call));
    showRevision(call, answer.revision);
    return answer;
  },
});

type PatchCall = ChangeCall & {
  readonly body: Static<typeof Body>;
  readonly query: { readonly dry_run?: 'true' | 'false' };
  readonly params: { readonly id: string };
};

async function change(tx: NatsidTransaction, ctx: NatsIdentityContext, call: PatchCall) {
  const { body, query } = call;
  const before = await lockAccount(tx, call.principal, call.params.id);
  checkRevision(call, before.revision);
  const after = await wantedOf(tx, call, before);
  const diff = [
    ...diffOf(before.claims, after.claims),
    ...diffOf(
      { name: before.name, expires_at: before.expires_at?.toISOString() },
      { name: after.name, expires_at: after.expires_at?.toISOString() },
    ),
  ];
  const dryRun = query.dry_run === 'true';
  if (diff.length === 0) return { ...(await accountDetail(tx, before)), change: changeView(query) };
  await tx
    .updateTable('account')
    .set({ ...after, revision: sql<number>`revision + 1` })
    .where('id', '=', before.id)
    .execute();
  const { account } = await reissueAccount(tx, ctx, before.id);
  const { by, traceparent } = acting(call, body.reason);
  const { id, name, public_key } = account;
  await append(tx, {
    type: 'natsid.account.changed',
    tenant_id: account.tenant_id,
    aggregate: `account:${id}`,
    traceparent,
    data: { ...by, id, name, public_key, changes: toldChanges(diff) },
  });
  return {
    ...(await accountDetail(tx, account, { dryRun })),
    change: changeView(query, diff, {
      accounts: 1,
      users: diff.every(({ path }) => isText(path)) ? 0 : await activeUsers(tx, id),
      disconnects: diff.some(disconnects),
      clusters: await clusterCount(tx, account.operator_id),
    }),
  };
}

type Wanted = Pick<Account, 'name' | 'claims' | 'expires_at'>;

async function wantedOf(tx: NatsidTransaction, call: PatchCall, before: Account): Promise<Wanted> {
  const { body } = call;
  const claims = checkedClaimsOf(body.claims, before);
  const expires_at = body.expires_at === undefined ? before.expires_at : expiryOf(body.expires_at);
  if (tenantScope(call.principal) !== undefined) await checkTenant(tx, before, { claims, expires_at });
  return { name: (body.name ?? before.name).normalize('NFC'), claims, expires_at };
}

function checkedClaimsOf(patch: JsonObject | undefined, before: Account): JsonObject {
  // Claims that nobody touches stay as they are, whatever an import brought.
  const after = mergePatch(before.claims, patch ?? {}) as JsonObject;
  if (diffOf(before.claims, after).length === 0) return before.claims;
  return checkedAccountClaims({
    before: before.claims,
    after,
    publicKey: before.public_key,
    systemAccount: before.kind === 'system',
  });
}

async function checkTenant(
  tx: NatsidTransaction,
  before: Account,
  after: Pick<Wanted, 'claims' | 'expires_at'>,
): Promise<void> {
  const allowance = await readAllowance(tx, before.tenant_id ?? '', before.operator_id);
  if (allowance === undefined)
    throw exceeded([], 'The platform has given the tenant no allowance under this operator.');
  const operator = await tx
    .selectFrom('operator')
    .select(['claims', 'system_account_id'])
    .where('id', '=', before.operator_id)
    .executeTakeFirstOrThrow();
  checkTenantChange({
    before: before.claims,
    after: after.claims,
    allowance,
    systemAccount: await systemAccountKey(tx, operator),
  });
  const latest = before.expires_at?.getTime();
  if (latest !== undefined && (after.expires_at?.getTime() ?? Number.POSITIVE_INFINITY) > latest)
    throw exceeded([{ path: 'expires_at', message: 'Only the platform puts off when an account expires.' }]);
}

/** What nobody's rights depend on. */
const isText = (path: string) => /^(description|info_url|exports\[\d+\]\.(description|info_url))$/.test(path);

/** Fewer connections than there are, or no bearers any more: servers close what is too much. */
function disconnects({ path, before, after }: ClaimChange): boolean {
  if (path === 'limits.disallow_bearer') return after === true;
  if (path !== 'limits.conn' && path !== 'limits.leaf') return false;
  return typeof after === 'number' && after >= 0 && (before === -1 || after < Number(before));
}

/** Users of an account whose credentials work. */
export async function activeUsers(tx: NatsidTransaction, accountId: string): Promise<number> {
  const { count } = await tx
    .selectFrom('nats_user')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('account_id', '=', accountId)
    .where('state', '=', 'active')
    .executeTakeFirstOrThrow();
  return Number(count);
}
