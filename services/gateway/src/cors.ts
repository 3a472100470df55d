import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';

/** How long a browser may keep the answer to a preflight. */
const PREFLIGHT_MAX_AGE_SECONDS = 600;

/**
 * Lets the listed pages call the API, with their cookies and tokens, and read what they need of an answer. An origin
 * that is not listed gets no header at all: the browser keeps the answer from the page.
 */
export async function useCors(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  const listed = new Set(origins.filter((origin) => origin !== 'none'));
  await app.register(cors, {
    // A function, not a list: for a list the plugin sends credentials headers to strangers as well.
    origin: (origin, done) => done(null, origin !== undefined && listed.has(origin)),
    credentials: true,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'traceparent'],
    exposedHeaders: [
      'etag',
      'retry-after',
      'ratelimit-limit',
      'ratelimit-remaining',
      'ratelimit-reset',
      'traceparent',
      'www-authenticate',
    ],
    maxAge: PREFLIGHT_MAX_AGE_SECONDS,
    // Without the headers of a preflight it is an ordinary OPTIONS and gets Allow.
    strictPreflight: false,
  });
}
