import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as a collector gets it. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
}

/** A receiver of OTLP over HTTP: what an operator's collector would see. */
export interface SpanReceiver {
  /** Settings that send everything here, soon. */
  readonly env: Readonly<Record<string, string>>;
  spansOf(traceId: string): readonly Span[];
  /** Those of every trace. */
  all(): readonly Span[];
  /** Everything that was ever sent, as it came. */
  raw(): Buffer;
  close(): void;
}

interface Export {
  resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
}

/** Starts a receiver on a free port. */
export async function startSpanReceiver(): Promise<SpanReceiver> {
  const bodies: Buffer[] = [];
  const spans: Span[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    bodies.push(body, Buffer.from('\n'));
    if (request.url === '/v1/traces')
      for (const { scopeSpans } of (JSON.parse(body.toString()) as Export).resourceSpans)
        spans.push(...scopeSpans.flatMap((scope) => scope.spans));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '200',
    },
    spansOf: (traceId) => spans.filter((span) => span.traceId === traceId),
    all: () => spans,
    raw: () => Buffer.concat(bodies),
    close: () => server.close(),
  };
}
