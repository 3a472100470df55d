import {
  addressKeysOf,
  administeredBy,
  append,
  type Call,
  PeerError,
  type Principal,
  Problem,
  questions,
  Reason,
  reasonOf,
  Uuid,
} from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import { type GatewayContext, route } from './context.ts';
import { silent } from './each-service.ts';
import { type LimitScope, limitScopes } from './limit-scopes.ts';
import { ruleOf } from './limits.ts';

const Body = Type.Object({
  ip: Type.Optional(Type.String({ maxLength: 64, description: 'An address; IPv6 stands for its /64.' })),
  network: Type.Optional(
    Type.String({ maxLength: 64, description: 'CIDR, at most an IPv4 /24 or an IPv6 /56.' }),
  ),
  user_id: Type.Optional(Uuid),
  email: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
  tenant_id: Type.Optional({ ...Uuid, description: 'Of the e-mail; the default tenant unless given.' }),
  scopes: Type.Optional(
    Type.Array(Type.Union(limitScopes.map((scope) => Type.Literal(scope))), {
      minItems: 1,
      maxItems: limitScopes.length,
      description: 'Every scope unless given. A user has one: login.',
    }),
  ),
  reason: Reason,
});
type Body = Static<typeof Body>;

const Answer = Type.Object({
  of: Type.Union([Type.Literal('address'), Type.Literal('user')]),
  scopes: Type.Array(Type.String()),
  counters: Type.Integer({ description: 'Counters set back: one for each address and scope.' }),
  reach: Type.Union([Type.Literal('every_instance'), Type.Literal('this_instance')], {
    description: 'this_instance: no Redis is shared, or it is lost; other instances count for themselves.',
  }),
});
type Answer = Static<typeof Answer>;

/** Sets counters of the rate limits back, of an address or of an account. A lockout is not one: users have their own. */
export const resetRateLimit = route({
  method: 'POST',
  path: '/api/admin/rate-limits/reset',
  access: 'platform.manage',
  summary: 'Set the rate limits of an address, a network or a user back',
  description:
    'Name one of ip, network, user_id or email. A lockout after failed sign-ins is lifted by POST /api/admin/users/:id/reset-lockout.',
  body: Body,
  answer: Answer,
  problems: ['reason_required', 'not_found', 'invalid_email', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const reason = reasonOf(call.body);
    const target = targetOf(call.body);
    return target.of === 'address'
      ? resetAddresses(ctx, target, { ...call, reason })
      : resetUser(ctx, target, { ...call, reason });
  },
});

type Target =
  | {
      readonly of: 'address';
      readonly named: string;
      readonly keys: readonly string[];
      readonly scopes: readonly LimitScope[];
    }
  | { readonly of: 'user'; readonly account: Static<typeof questions.resetAccountLimit.ask>['account'] };

type Asked = Pick<Call<unknown, unknown, unknown, Principal>, 'principal' | 'client' | 'trace'> & {
  readonly reason: string;
};

const invalid = (detail: string) => new Problem('invalid_request', { detail });

function targetOf({ ip, network, user_id: userId, email, tenant_id: tenantId, scopes }: Body): Target {
  if ([ip, network, userId, email].filter((one) => one !== undefined).length !== 1)
    throw invalid('Name one of ip, network, user_id or email.');
  if (tenantId !== undefined && email === undefined) throw invalid('tenant_id goes with email.');
  if (userId !== undefined || email !== undefined) {
    if (scopes?.some((scope) => scope !== 'login')) throw invalid('Of a user only login is limited.');
    return {
      of: 'user',
      account:
        userId === undefined ? { email: email ?? '', tenant_id: tenantId ?? null } : { user_id: userId },
    };
  }
  const named = (ip ?? network ?? '').trim();
  const keys = ip?.includes('/') ? undefined : addressKeysOf(named);
  if (keys === undefined)
    throw invalid(ip === undefined ? 'network is none, or is too large.' : 'ip is not an address.');
  return { of: 'address', named, keys, scopes: scopes === undefined ? limitScopes : [...new Set(scopes)] };
}

/** So many at a time, so that the last does not wait for longer than Redis is waited for. */
const AT_ONCE = 64;

async function resetAddresses(
  ctx: GatewayContext,
  { named, keys, scopes }: Extract<Target, { of: 'address' }>,
  { principal, client, trace, reason }: Asked,
): Promise<Answer> {
  // Told before it is done, for the counters are in no transaction: a kill in between leaves a reset that can be
  // repeated, and never one that nobody knows of.
  await ctx.db.transaction().execute((tx) =>
    append(tx, {
      type: 'admin.rate_limit.reset',
      tenant_id: null,
      aggregate: 'rate-limit',
      traceparent: trace.traceparent,
      data: {
        ...administeredBy({ principal, client }, reason),
        ...{ of: 'address', scopes: [...scopes], address: named, user_id: null, email: null },
      },
    }),
  );
  ctx.relay.poke();
  const counters = keys.flatMap((key) => scopes.map((scope) => ({ key, scope })));
  let everywhere = ctx.limitStore.status !== 'memory';
  for (let at = 0; at < counters.length; at += AT_ONCE) {
    const reached = await Promise.all(
      counters
        .slice(at, at + AT_ONCE)
        .map(({ key, scope }) =>
          ctx.limitStore.reset(scope, key, ruleOf(ctx.config, scope).windowSeconds * 1000),
        ),
    );
    if (reached.includes('here')) everywhere = false;
  }
  return {
    of: 'address',
    scopes: [...scopes],
    counters: counters.length,
    reach: everywhere ? 'every_instance' : 'this_instance',
  };
}

async function resetUser(
  ctx: GatewayContext,
  { account }: Extract<Target, { of: 'user' }>,
  { principal, client, trace, reason }: Asked,
): Promise<Answer> {
  const { traceparent } = trace;
  const { outcome } = await ctx.peer
    .ask(
      questions.resetAccountLimit,
      {
        ...{ account, reason, actor_id: principal.userId, traceparent },
        ...{ client_ip: client.ip, user_agent: client.userAgent },
      },
      { traceparent },
    )
    .catch((error: unknown) => {
      throw error instanceof PeerError ? silent(['auth'], error) : error;
    });
  if (outcome === 'unknown') throw new Problem('not_found');
  if (outcome === 'invalid_email') throw new Problem('invalid_email');
  return {
    of: 'user',
    scopes: ['login'],
    counters: outcome === 'off' ? 0 : 1,
    reach: outcome === 'here' ? 'this_instance' : 'every_instance',
  };
}
