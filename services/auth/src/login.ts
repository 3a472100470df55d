import { append, type Call, Problem, rateLimitHeaders, retryLater } from '@gatehouse/kit';
import Type from 'typebox';
import { type AuthContext, route } from './context.ts';
import { actingOf, EmailText, identityOf, PasswordInput, TenantId } from './identity.ts';
import { passwordText } from './password-policy.ts';
import { type SignInAttempt, type SignInOutcome, signIn } from './sign-in.ts';

const Body = Type.Object(
  { tenant_id: TenantId, email: EmailText, password: PasswordInput },
  { additionalProperties: false },
);

const Answer = Type.Object({
  access_token: Type.String(),
  refresh_token: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds that the access token lives.' }),
  session_id: Type.String(),
});

/** Labels of `auth_login_total`. */
const results = {
  signed_in: 'success',
  refused: 'failure',
  locked: 'locked',
  rate_limited: 'rate_limited',
  busy: 'hash_busy',
  unavailable: 'failure',
} as const satisfies Record<SignInOutcome['outcome'], string>;

export const login = route({
  method: 'POST',
  path: '/api/auth/login',
  access: 'public',
  summary: 'Sign in with a password',
  description:
    'An address that nobody has is answered like one with a wrong password, in the same time, and locks the same.',
  body: Body,
  answer: Answer,
  problems: [
    'invalid_email',
    'invalid_credentials',
    'locked',
    'rate_limited',
    'hash_busy',
    'upstream_unavailable',
  ],
  // So that an absurdly long password is a 400 that says so, not a 413.
  bodyBytesMax: 256 * 1024,
  refused: (ctx) => async (call, code) => {
    // The gateway tells of its limits itself, once a window: one row here for each would be the flood it stops.
    if (code !== 'rate_limited') await tellMalformed(ctx, call, 'malformed');
  },
  run: (ctx) => async (call) => {
    const attempt = await readAttempt(ctx, call);
    const begun = performance.now();
    const result = await signIn(ctx, attempt);
    ctx.metrics.login.inc({ result: results[result.outcome], strategy: 'password' });
    ctx.metrics.authDuration.observe({ strategy: 'password' }, (performance.now() - begun) / 1000);
    if (result.outcome !== 'signed_in') throw problemOf(result);
    return { ...result.tokens, token_type: 'Bearer' as const };
  },
});

async function readAttempt(
  ctx: AuthContext,
  call: Pick<Call, 'client' | 'trace'> & { body: { tenant_id?: string; email: string; password: string } },
): Promise<SignInAttempt> {
  const { body, client, trace } = call;
  const password = passwordText(body.password);
  // Tells nothing of the account: no stored password can be like this. `refused` writes its event.
  if (password.outcome === 'refused')
    throw new Problem('invalid_request', { detail: password.reason.message });
  const read = identityOf(ctx.config, body);
  if (read.outcome === 'refused') {
    await tellMalformed(ctx, call, 'invalid_email');
    throw new Problem('invalid_email', { detail: `The e-mail address is not valid: ${read.reason}.` });
  }
  return { identity: read.identity, password: password.password, call: { client, trace } };
}

async function tellMalformed(
  ctx: AuthContext,
  call: Pick<Call, 'client' | 'trace'>,
  reason: string,
): Promise<void> {
  await ctx.db.transaction().execute((tx) =>
    append(tx, {
      type: 'auth.login.failure',
      tenant_id: null,
      aggregate: 'sign-in',
      traceparent: call.trace.traceparent,
      data: { ...actingOf(call, null), email: null, reason, strategy: 'password' },
    }),
  );
  ctx.relay.poke();
  ctx.metrics.login.inc({ result: 'failure', strategy: 'password' });
}

function problemOf(result: Exclude<SignInOutcome, { outcome: 'signed_in' }>): Problem {
  switch (result.outcome) {
    case 'refused':
      return new Problem('invalid_credentials');
    case 'locked':
      return retryLater('locked', result.retryAfterSeconds);
    case 'rate_limited':
      return new Problem('rate_limited', { headers: rateLimitHeaders(result.verdict) });
    case 'busy':
      return retryLater('hash_busy', result.retryAfterSeconds);
    case 'unavailable':
      return retryLater('upstream_unavailable', 1);
  }
}
