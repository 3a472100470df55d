import { appendRevocation, Problem, Reason, reasonOf } from '@gatehouse/kit';
import Type from 'typebox';
import { route, type TokenContext, type TokenTransaction } from './context.ts';
import { createKey, type KeyCause, lockKeys, promoteNext, retireKey, tell } from './managed-keys.ts';

/** Withdraws a key at once, for when its private half may have leaked. */
export const revokeKey = route({
  method: 'POST',
  path: '/api/admin/keys/:kid/revoke',
  access: 'platform.manage',
  summary: 'Withdraw a signing key at once',
  description:
    'For emergencies: every access token that the key signed is refused by the platform within a second, and by other verifiers as they fetch the JWKS again, at the latest after its max-age. A key that signs is replaced by the next one at once.',
  params: Type.Object({ kid: Type.String({ minLength: 1, maxLength: 128 }) }),
  body: Type.Object({ reason: Reason }),
  answer: Type.Object({ kid: Type.String(), state: Type.Literal('retired'), current_kid: Type.String() }),
  problems: ['reason_required', 'not_found', 'conflict', 'keys_from_environment', 'database_unavailable'],
  run:
    (ctx) =>
    async ({ body, params, principal, trace }) => {
      const cause = { reason: reasonOf(body), actorId: principal.userId, traceparent: trace.traceparent };
      if (ctx.ring.environment.some(({ kid }) => kid === params.kid))
        throw new Problem('keys_from_environment');
      const outcome = await ctx.db.transaction().execute((tx) => withdraw(tx, ctx, params.kid, cause));
      if (outcome === 'unknown') throw new Problem('not_found');
      if (outcome === 'retired before')
        throw new Problem('conflict', { detail: 'The key is retired already.' });
      ctx.feed.markLocally(entryOf(ctx, params.kid));
      ctx.relay.poke();
      await ctx.ring.reload();
      return { kid: params.kid, state: 'retired' as const, current_kid: ctx.ring.signer().kid };
    },
});

// Until no verifier of the platform can hold the JWKS in which the key still stood.
const entryOf = ({ config }: TokenContext, kid: string) => ({
  kids: [kid],
  until: Math.floor(Date.now() / 1000) + 2 * config.JWKS_MAX_AGE_SECONDS + 60,
});

async function withdraw(
  tx: TokenTransaction,
  ctx: TokenContext,
  kid: string,
  cause: KeyCause,
): Promise<'withdrawn' | 'unknown' | 'retired before'> {
  await lockKeys(tx);
  const key = await tx
    .selectFrom('signing_key')
    .select(['kid', 'algorithm', 'state'])
    .where('kid', '=', kid)
    .executeTakeFirst();
  if (key === undefined) return 'unknown';
  if (key.state === 'retired') return 'retired before';
  await retireKey(tx, kid);
  await appendRevocation(tx, entryOf(ctx, kid), cause.traceparent);
  await tell(tx, 'token.key.revoked', key, cause);
  if (ctx.ring.source === 'environment') return 'withdrawn';
  if (key.state === 'current') await promoteNext(tx, ctx, cause);
  if (key.state === 'next')
    await createKey(tx, ctx, { state: 'next', algorithm: ctx.config.JWT_ALGORITHM }, cause);
  return 'withdrawn';
}
