import type { FastifyInstance } from 'fastify';

/** RFC 6797; a year, as browsers' preload lists ask for. */
const HSTS = 'max-age=31536000';

/** Headers that keep browsers from guessing types, leaking addresses and speaking plain HTTP. */
export function useSecurityHeaders(app: FastifyInstance, production: boolean): void {
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('x-content-type-options', 'nosniff');
    reply.header('referrer-policy', 'no-referrer');
    if (production) reply.header('strict-transport-security', HSTS);
    done();
  });
}
