/**
 * Imported first by every `main.ts`, before anything that it instruments. Without OTEL_EXPORTER_OTLP_ENDPOINT it does
 * nothing and loads nothing: the SDK costs 40 MB and a third of a second.
 */
let stop: (() => Promise<void>) | undefined;
if (process.env.OTEL_EXPORTER_OTLP_ENDPOINT) {
  const { startTelemetry } = await import('./telemetry-sdk.ts');
  stop = startTelemetry();
}

/** Sends what is still buffered; the last step of stopping. */
export async function stopTelemetry(): Promise<void> {
  await stop?.();
}
