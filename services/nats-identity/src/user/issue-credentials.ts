import { Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { ChangeView, changeQuery, changeView, reasonBody } from '../change.ts';
import { route } from '../context.ts';
import { CredentialView } from './credential-view.ts';
import { createIssuer } from './issue.ts';
import { TtlSeconds } from './lifetime.ts';
import { supersede } from './supersede.ts';

export const issueCredentials = route({
  method: 'POST',
  path: '/api/nats/users/:id/credentials',
  access: 'nats.manage',
  summary: 'Issue credentials to a user',
  description:
    'A .creds file with a new JWT and the user’s seed; for a user that keeps its own key the JWT only. They live for ttl_seconds or until expires_at, else as long as the user’s ttl_seconds says, else NATS_CREDENTIAL_TTL_SECONDS; never_expires is for platform administrators. What was issued before stays valid, unless `supersede` revokes it in the same change. The answer is the only place where the secret ever is.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Type.Object({
    ttl_seconds: Type.Optional(TtlSeconds),
    expires_at: Type.Optional(Type.String({ format: 'date-time', maxLength: 64, description: 'RFC 3339' })),
    never_expires: Type.Optional(
      Type.Boolean({
        description: 'Needs PLATFORM_ADMIN: a revocation of it stays in the account for ever.',
      }),
    ),
    supersede: Type.Optional(Type.Boolean({ description: 'Revoke all that was issued to the user before.' })),
    ...reasonBody,
  }),
  status: 201,
  answer: Type.Object({
    credential: CredentialView,
    creds: Type.Union([Type.String(), Type.Null()]),
    jwt: Type.Union([Type.String(), Type.Null()]),
    change: ChangeView,
  }),
  problems: [
    'forbidden',
    'not_found',
    'account_not_active',
    'user_revoked',
    'invalid_claims',
    'user_jwt_too_large',
    'no_signing_key',
    'conflict',
  ],
  run: (ctx) => {
    const issuer = createIssuer(ctx);
    return async (call) => {
      const { reason, supersede: superseding, ...wanted } = call.body;
      const dryRun = call.query.dry_run === 'true';
      const order = { userId: call.params.id, call, wanted, reason, dryRun };
      call.reply.header('cache-control', 'no-store');
      if (superseding === true) return supersede(ctx, issuer, order);
      return { ...(await issuer.issue(order)), change: changeView(call.query, [], { users: 1 }) };
    };
  },
});
