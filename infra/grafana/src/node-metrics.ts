/** Metrics of Node's process that prom-client measures, and of Prometheus about its targets; those that are shown. */
export const nodeMetrics = {
  nodejs_eventloop_lag_p99_seconds: [],
  nodejs_external_memory_bytes: [],
  nodejs_gc_duration_seconds_count: ['kind'],
  nodejs_gc_duration_seconds_sum: ['kind'],
  nodejs_heap_size_used_bytes: [],
  process_cpu_seconds_total: [],
  process_max_fds: [],
  process_open_fds: [],
  process_resident_memory_bytes: [],
  process_start_time_seconds: [],
  up: [],
} as const satisfies Readonly<Record<string, readonly string[]>>;
