const SECOND_SIGNAL_AFTER_MS = 500;

/**
 * Why and when to stop. One Ctrl-C arrives up to three times (from the terminal, from npm, from start.mjs), so that
 * only a signal well after the first means "now".
 */
export interface Shutdown {
  /** Aborted with the first reason to stop. */
  signal: AbortSignal;
  /** Resolves then: with undefined when it was asked for, else with what went wrong. */
  requested: Promise<string | undefined>;
  request(fault?: string): void;
}

/** Listens for signals and for the end of start.mjs. `force` runs on a second Ctrl-C. */
export function listenForShutdown(force: () => void): Shutdown {
  const abort = new AbortController();
  let resolveRequest: (fault: string | undefined) => void = () => {};
  const requested = new Promise<string | undefined>((resolve) => {
    resolveRequest = resolve;
  });
  let firstAt: number | undefined;
  const request = (fault?: string) => {
    firstAt ??= performance.now();
    abort.abort();
    resolveRequest(fault);
  };
  const onSignal = () => {
    if (firstAt !== undefined && performance.now() - firstAt > SECOND_SIGNAL_AFTER_MS) force();
    request();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  process.once('disconnect', () => request());
  // The terminal may be gone when we say good-bye to it.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  return { signal: abort.signal, requested, request };
}
