import { questions } from '@gatehouse/kit';
import { answer } from './context.ts';

/** The JWKS for verifiers within the platform. */
export const verificationKeys = answer(questions.verificationKeys, (ctx) => async () => ({
  keys: ctx.ring.jwks().keys.map((key) => ({ ...key })),
}));
