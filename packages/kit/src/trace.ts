import { randomFillSync } from 'node:crypto';
import { context, propagation, type Span, SpanKind, TraceFlags, trace } from '@opentelemetry/api';

/** Where a request stands in its distributed trace (W3C Trace Context). */
export interface Trace {
  /** 32 hex digits. */
  readonly traceId: string;
  /** The header that the next hop gets: `00-<trace id>-<parent id>-<flags>`. */
  readonly traceparent: string;
  /** False when telemetry is on and leaves this trace out: then the id leads to log lines and events, but to no trace. */
  readonly recorded: boolean;
}

// Versions after 00 may add fields (§4.3); ff is none.
const form =
  /^(?:00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})|(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.{0,200})?)$/;
const nothing = /^0+$/;

interface Given {
  readonly traceId: string;
  readonly sampled: boolean;
}

/** What a `traceparent` says, or undefined when it is malformed: then it counts as missing (§3.2.2.5). */
function read(header: string | null | undefined): Given | undefined {
  const found = header ? form.exec(header) : null;
  if (found === null) return undefined;
  const [traceId = '', parentId = '', flags = ''] = found.slice(1).filter((one) => one !== undefined);
  if (nothing.test(traceId) || nothing.test(parentId)) return undefined;
  return { traceId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

const pool = Buffer.alloc(24 * 128);
let used = pool.length;

// One call to the system's randomness serves 128 requests.
function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}

/**
 * The trace of a request: the active span's when telemetry is on, otherwise the caller's `traceparent` with a new
 * parent id, otherwise a new one (W3C Trace Context). Whether the caller records its trace is passed on; nothing else of
 * the header is.
 */
export function traceOf(header: string | undefined): Trace {
  const span = trace.getActiveSpan()?.spanContext();
  if (span !== undefined) {
    const recorded = (span.traceFlags & TraceFlags.SAMPLED) !== 0;
    return { ...traceAs(span.traceId, span.spanId, recorded), recorded };
  }
  const { traceId, sampled } = read(header) ?? { traceId: randomHex(16), sampled: false };
  return { ...traceAs(traceId, randomHex(8), sampled), recorded: true };
}

const traceAs = (traceId: string, parentId: string, sampled: boolean) => ({
  traceId,
  traceparent: `00-${traceId}-${parentId}-${sampled ? '01' : '00'}`,
});

/**
 * Whether the HTTP client writes the `traceparent` of what it sends by itself: it does while telemetry is on, and a
 * second header of that name would make both invalid.
 */
export function clientPropagates(): boolean {
  return trace.getActiveSpan() !== undefined;
}

/** The trace id within a `traceparent`, or null when there is none or it is malformed. */
export function traceIdOf(traceparent: string | null | undefined): string | null {
  return read(traceparent)?.traceId ?? null;
}

const tracer = trace.getTracer('gatehouse');
const kinds = { producer: SpanKind.PRODUCER, consumer: SpanKind.CONSUMER, internal: SpanKind.INTERNAL };

/** Runs `work` in a span that continues `traceparent`; free when telemetry is off. */
export async function inSpan<T>(
  name: string,
  traceparent: string | null | undefined,
  kind: 'producer' | 'consumer' | 'internal',
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const parent = traceparent ? propagation.extract(context.active(), { traceparent }) : context.active();
  return tracer.startActiveSpan(name, { kind: kinds[kind] }, parent, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      span.recordException(error instanceof Error ? error : String(error));
      throw error;
    } finally {
      span.end();
    }
  });
}

/**
 * Runs `work` in one span for a batch of messages. It continues the first trace that is recorded; every other one in the
 * batch gets a span of its own, linked to the one that did the work, so that whoever opens that trace sees the step in it.
 */
export async function inBatchSpan<T>(
  name: string,
  traceparents: readonly (string | null | undefined)[],
  kind: 'producer' | 'consumer',
  work: () => Promise<T>,
): Promise<T> {
  const distinct = [...new Set(traceparents)];
  const recorded = distinct.filter((one) => read(one)?.sampled);
  // Below a trace that its caller leaves out nothing would be recorded, for the others neither.
  const [first, ...others] = recorded.length > 0 ? recorded : distinct;
  return inSpan(name, first, kind, async (span) => {
    if (!span.isRecording()) return work();
    span.setAttributes({
      'messaging.system': 'nats',
      'messaging.operation.type': kind === 'producer' ? 'send' : 'process',
      'messaging.batch.message_count': traceparents.length,
    });
    const links = [{ context: span.spanContext() }];
    const spans = others
      .filter((traceparent) => traceparent)
      .map((traceparent) => {
        const parent = propagation.extract(context.active(), { traceparent });
        return tracer.startSpan(name, { kind: kinds[kind], links }, parent);
      });
    try {
      return await work();
    } finally {
      for (const one of spans) one.end();
    }
  });
}
