import Type from 'typebox';
import { route } from './context.ts';

const Jwk = Type.Object({
  kty: Type.String(),
  kid: Type.String(),
  alg: Type.String(),
  use: Type.String(),
  n: Type.Optional(Type.String()),
  e: Type.Optional(Type.String()),
  crv: Type.Optional(Type.String()),
  x: Type.Optional(Type.String()),
  y: Type.Optional(Type.String()),
});

/** RFC 7517: the public keys, from memory, whatever the database and the bus do. */
export const jwks = route({
  method: 'GET',
  path: '/.well-known/jwks.json',
  access: 'public',
  summary: 'Public keys that access tokens verify with',
  answer: Type.Object({ keys: Type.Array(Jwk) }),
  problems: [],
  run: (ctx) => {
    const cacheControl = `public, max-age=${ctx.config.JWKS_MAX_AGE_SECONDS}`;
    return async ({ request, reply }) => {
      const { body, etag, keys } = ctx.ring.jwks();
      reply.header('cache-control', cacheControl).header('etag', etag);
      const asked = request.headers['if-none-match'];
      if (asked !== undefined && matches(asked, etag)) reply.code(304).send();
      else reply.type('application/json; charset=utf-8').send(body);
      // Sent already, as rendered; this is only what the schema says it was.
      return { keys: [...keys] };
    };
  },
});

// RFC 9110 §13.1.2: compared weakly, and * means any.
function matches(asked: string, etag: string): boolean {
  return asked
    .split(',')
    .map((one) => one.trim())
    .some((one) => one === '*' || one === etag || one === `W/${etag}`);
}
