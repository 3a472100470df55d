import { createRequire } from 'node:module';
import { FastifyOtelInstrumentation } from '@fastify/otel';
import type { Attributes, Span } from '@opentelemetry/api';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import { NodeSDK } from '@opentelemetry/sdk-node';

const quiet = /^\/(?:health|ready|metrics)/;

const bare = (path: string): string => path.split('?', 1)[0] ?? '';

/**
 * A query may hold a token, or the address that a search was for; a trace is read by many. e2e/trace.e2e.ts searches all
 * spans of a run.
 */
function hideQuery(span: Span, instead: Attributes = {}): void {
  span.setAttributes({ ...instead, 'url.query': '' });
}

/**
 * Starts tracing over OTLP; the standard OTEL_* variables (protocol, headers, sampler, service name)
 * act as documented.
 * Returns what sends the rest and ends it.
 */
export function startTelemetry(): () => Promise<void> {
  const sdk = new NodeSDK({
    serviceName: process.env.OTEL_SERVICE_NAME ?? 'gatehouse',
    metricReaders: [],
    instrumentations: [
      new HttpInstrumentation({
        ignoreIncomingRequestHook: ({ url }) => quiet.test(url ?? ''),
        disableOutgoingRequestInstrumentation: true,
        applyCustomAttributesOnSpan: (span) => hideQuery(span),
      }),
      new UndiciInstrumentation({
        requestHook: (span, { origin, path }) => hideQuery(span, { 'url.full': origin + bare(path) }),
      }),
      // Statements carry placeholders, never values.
      new PgInstrumentation({ requireParentSpan: true, enhancedDatabaseReporting: false }),
      new FastifyOtelInstrumentation({
        registerOnInitialization: true,
        requestHook: (span, { url }) => hideQuery(span, { 'url.path': bare(url) }),
      }),
    ],
  });
  sdk.start();
  // The hooks see `require`, not `import`: required once here, pg is the instrumented one for everybody after.
  createRequire(import.meta.url)('pg');
  return () => sdk.shutdown();
}
