import { may, PeerError, Problem, questions, retryLater, tenantScope, Uuid } from '@gatehouse/kit';
import type { OperatorTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import Type, { type Static } from 'typebox';
import { clusterCount } from '../account-jwt.ts';
import {
  acting,
  type ChangeCall,
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
import { checkedAccountClaims } from './account-claims.ts';
import { AccountChanged, accountDetail } from './account-view.ts';
import {
  type Allowance,
  checkTenantChange,
  countAccounts,
  exceeded,
  readAllowance,
  withinAllowance,
} from './allowance.ts';
import { createAccountIn } from './create-account.ts';
import { ExpiryTime, expiryOf } from './expiry.ts';
import { systemAccountKey } from './system-account.ts';

const Body = Type.Object({
  operator_id: Type.Optional(Uuid),
  tenant_id: Type.Optional(Uuid),
  name: NameText,
  claims: Type.Optional(LooseClaims),
  expires_at: Type.Optional(ExpiryTime),
  ...reasonBody,
});
type Body = Static<typeof Body>;

/** The most that a body with an account's claims may have: a JWT near its bound, as JSON. */
export const ACCOUNT_BODY_BYTES_MAX = 1024 * 1024;

export const makeAccount = route({
  method: 'POST',
  path: '/api/nats/accounts',
  access: 'nats.manage',
  summary: 'Make an account',
  description:
    'Without operator_id under the operator of the platform’s own bus, or the only one there is. A tenant’s administrator makes accounts of the own tenant, under operators that are open to tenants and within the allowance; limits that are not given are the allowance’s. A platform administrator is not bound by allowances.',
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  bodyBytesMax: ACCOUNT_BODY_BYTES_MAX,
  status: 201,
  answer: AccountChanged,
  problems: [
    'invalid_claims',
    'account_jwt_too_large',
    'not_found',
    'unknown_tenant',
    'name_taken',
    'allowance_exceeded',
    'no_signing_key',
    'upstream_unavailable',
  ],
  run: (ctx) => async (call) => {
    await requireTenant(ctx, call);
    const answer = await inChange(ctx, call.query, (tx) => make(tx, ctx, call));
    showRevision(call, answer.revision);
    return answer;
  },
});

type MakeCall = ChangeCall & { readonly body: Body; readonly query: { readonly dry_run?: 'true' | 'false' } };

/**
 * That the tenant is there, when the platform names one: whoever is signed in has one. An account of a tenant that comes
 * to its end meanwhile goes with it (follow-tenants.ts).
 */
async function requireTenant(ctx: NatsIdentityContext, { body, principal }: MakeCall): Promise<void> {
  const { tenant_id } = body;
  if (tenant_id === undefined || tenantScope(principal) !== undefined) return;
  try {
    const { tenants } = await ctx.peer.ask(questions.tenantStates, { ids: [tenant_id] });
    if (!tenants.some(({ status }) => status !== 'deleted')) throw new Problem('unknown_tenant');
  } catch (error) {
    if (!(error instanceof PeerError)) throw error;
    throw retryLater('upstream_unavailable', 2);
  }
}

async function make(tx: NatsidTransaction, ctx: NatsIdentityContext, call: MakeCall) {
  const { body, query, principal } = call;
  const own = tenantScope(principal);
  const tenantId = body.tenant_id?.toLowerCase() ?? own ?? null;
  if (own !== undefined && tenantId !== own) throw new Problem('not_found');
  const operator = await chooseOperator(tx, call);
  const claims =
    tenantId === null
      ? body.claims
      : await claimsOfTenant(tx, { tenantId, operator, claims: body.claims ?? {}, bound: own !== undefined });
  const account = await createAccountIn(tx, ctx, {
    operatorId: operator.id,
    tenantId,
    name: body.name,
    ...(claims && { claims }),
    expiresAt: expiryOf(body.expires_at),
    acting: acting(call, body.reason),
  });
  const dryRun = query.dry_run === 'true';
  return {
    ...(await accountDetail(tx, account, { dryRun })),
    change: changeView(query, diffOf({}, account.claims), {
      accounts: 1,
      clusters: await clusterCount(tx, operator.id),
    }),
  };
}

interface TenantClaims {
  readonly tenantId: string;
  readonly operator: Selectable<OperatorTable>;
  readonly claims: Readonly<Record<string, unknown>>;
  /** Whether the allowance binds whoever asks. */
  readonly bound: boolean;
}

async function claimsOfTenant(tx: NatsidTransaction, { tenantId, operator, claims, bound }: TenantClaims) {
  // The lock makes parallel creations count each other.
  const allowance = await readAllowance(tx, tenantId, operator.id, { lock: true });
  if (allowance === undefined) {
    if (bound) throw exceeded([], 'The platform has given the tenant no allowance under this operator.');
    return claims;
  }
  const filled = withinAllowance(claims, allowance);
  if (bound) await checkBound(tx, operator, allowance, filled);
  return filled;
}

async function checkBound(
  tx: NatsidTransaction,
  operator: Selectable<OperatorTable>,
  allowance: Allowance,
  claims: Readonly<Record<string, unknown>>,
): Promise<void> {
  const count = await countAccounts(tx, allowance.tenant_id, operator.id);
  if (count >= allowance.accounts_max)
    throw exceeded([
      {
        path: 'accounts',
        message: `The tenant has ${count} accounts; ${allowance.accounts_max} is the most.`,
      },
    ]);
  checkTenantChange({
    before: {},
    // Malformed claims are refused for what they are, before they are measured.
    after: checkedAccountClaims({ before: {}, after: claims, systemAccount: false }),
    allowance,
    systemAccount: await systemAccountKey(tx, operator),
  });
}

/** The operator that is named, else the one of the platform's own bus, else the only one that there is to be seen. */
async function chooseOperator(
  tx: NatsidTransaction,
  { body, principal }: MakeCall,
): Promise<Selectable<OperatorTable>> {
  const platform = may(principal, 'tenants.all');
  const seen = await tx
    .selectFrom('operator')
    .selectAll()
    .$if(!platform, (some) => some.where('open_to_tenants', '=', true))
    .$if(body.operator_id !== undefined, (some) => some.where('id', '=', body.operator_id ?? ''))
    .orderBy('own', 'desc')
    .limit(2)
    .execute();
  const [first, second] = seen;
  if (first === undefined)
    throw new Problem('not_found', {
      detail: platform ? 'There is no such operator.' : 'No such operator is open to tenants.',
    });
  if (second !== undefined && !first.own)
    throw new Problem('invalid_request', { detail: 'There are several operators: name one in operator_id.' });
  return first;
}
