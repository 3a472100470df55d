import { createRequire } from 'node:module';
import { FastifyOtelInstrumentation } from '@fastify/otel';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import { NodeSDK } from '@opentelemetry/sdk-node';

const quiet = /^\/(?:health|ready|metrics)/;

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
      new HttpInstrumentation({ ignoreIncomingRequestHook: ({ url }) => quiet.test(url ?? '') }),
      new UndiciInstrumentation(),
      // Statements carry placeholders, never values.
      new PgInstrumentation({ requireParentSpan: true, enhancedDatabaseReporting: false }),
      new FastifyOtelInstrumentation({ registerOnInitialization: true }),
    ],
  });
  sdk.start();
  // The hooks see `require`, not `import`: required once here, pg is the instrumented one for everybody after.
  createRequire(import.meta.url)('pg');
  return () => sdk.shutdown();
}
