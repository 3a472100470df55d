import { Problem, Reason, reasonOf, Time } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from './context.ts';
import { requestRotation } from './key-rotation.ts';

/** Replaces the signing key, as soon as every verifier knows the new one. */
export const rotateKeys = route({
  method: 'POST',
  path: '/api/admin/keys/rotate',
  access: 'platform.manage',
  summary: 'Replace the signing key',
  description:
    'The new key signs at activates_at: at once when it has been published for long enough already.',
  body: Type.Object({
    reason: Reason,
    algorithm: Type.Optional(
      Type.Union([Type.Literal('RS256'), Type.Literal('ES256'), Type.Literal('EdDSA')]),
    ),
  }),
  status: 202,
  answer: Type.Object({
    kid: Type.String(),
    algorithm: Type.String(),
    activates_at: Time,
    signs_now: Type.Boolean(),
  }),
  problems: ['reason_required', 'rotation_pending', 'keys_from_environment', 'database_unavailable'],
  run:
    (ctx) =>
    async ({ body, principal, trace }) => {
      const cause = { reason: reasonOf(body), actorId: principal.userId, traceparent: trace.traceparent };
      if (ctx.ring.source === 'environment') throw new Problem('keys_from_environment');
      const algorithm = body.algorithm ?? ctx.config.JWT_ALGORITHM;
      const rotation = await ctx.db.transaction().execute((tx) => requestRotation(tx, ctx, algorithm, cause));
      if (rotation.outcome === 'pending') throw new Problem('rotation_pending');
      ctx.relay.poke();
      await ctx.ring.reload();
      const { kid, activatesAt, signs } = rotation;
      return {
        kid,
        algorithm: rotation.algorithm,
        activates_at: activatesAt.toISOString(),
        signs_now: signs,
      };
    },
});
