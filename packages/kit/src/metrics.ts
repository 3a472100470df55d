import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  Registry,
  type RegistryContentType,
} from 'prom-client';

/**
 * Every metric of the platform, in one place, so that docs/metrics.md can equal it both ways.
 * Labels never carry an address, an e-mail or a user id.
 */

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const hashSeconds = [0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5];

/** Name and labels of a metric are part of its type: a dashboard that asks for others does not compile. */
type Named<M, N extends string, L extends string> = M & {
  readonly name: N;
  readonly labelNames: readonly L[];
};

/** A histogram whose buckets each keep the trace of one value in them. */
type Exemplified<L extends string> = Omit<Histogram<L>, 'observe'> & {
  observe(one: {
    readonly labels: Readonly<Record<L, string>>;
    readonly value: number;
    readonly exemplarLabels?: { readonly trace_id: string };
  }): void;
};

function makers(registry: Registry) {
  const registers = [registry];
  return {
    counter: <N extends string, L extends string = never>(
      name: N,
      help: string,
      labelNames: readonly L[] = [],
    ) => new Counter<L>({ name, help, labelNames, registers }) as Named<Counter<L>, N, L>,
    gauge: <N extends string, L extends string = never>(
      name: N,
      help: string,
      labelNames: readonly L[] = [],
    ) => new Gauge<L>({ name, help, labelNames, registers }) as Named<Gauge<L>, N, L>,
    histogram: <N extends string, L extends string = never>(
      name: N,
      help: string,
      labelNames: readonly L[],
      buckets = seconds,
    ) => new Histogram<L>({ name, help, labelNames, buckets, registers }) as Named<Histogram<L>, N, L>,
    /** With the trace of one request in each of its buckets (openmetrics.ts). */
    exemplified: <N extends string, L extends string>(name: N, help: string, labelNames: readonly L[]) =>
      new Histogram<L>({
        ...{ name, help, labelNames, registers, buckets: seconds },
        enableExemplars: true,
      }) as unknown as Named<Exemplified<L>, N, L>,
  };
}

/** The process itself: what runs, whether it would take traffic, what it may use. */
function processMetrics({ counter, gauge }: ReturnType<typeof makers>) {
  return {
    buildInfo: gauge('gatehouse_build_info', 'Always 1: which release of a service runs here.', [
      'service',
      'version',
    ]),
    ready: gauge('gatehouse_ready', '1 while /health/ready answers 200, asked with each scrape.'),
    memoryLimit: gauge(
      'gatehouse_memory_limit_bytes',
      'Memory that the process may use: the limit of its control group, or what the machine has.',
    ),
    heapLimit: gauge('gatehouse_heap_limit_bytes', 'Size at which the heap of JavaScript ends the process.'),
    upstreamReady: gauge(
      'upstream_instance_ready',
      '1 while an instance of a service, of several that are named, says that it is ready.',
      ['service', 'upstream', 'target'],
    ),
    upstreamRetries: counter(
      'upstream_retries_total',
      'Requests sent to another instance: unsent (nothing had been written), repeated (harmless twice).',
      ['service', 'upstream', 'reason'],
    ),
    processors: gauge('gatehouse_processors', 'Processors that the process may use.'),
    certificateExpiry: gauge(
      'tls_certificate_expiry_timestamp_seconds',
      'End of the first to end of the certificates that the other side of own connections last showed: db, nats, redis, peer, cluster.',
      ['service', 'dep'],
    ),
    certificateRead: gauge(
      'tls_certificate_read_timestamp_seconds',
      'When the certificate of tls_certificate_expiry_timestamp_seconds was shown.',
      ['service', 'dep'],
    ),
  };
}

/** Requests and sign-in. */
function requestMetrics({ counter, gauge, histogram, exemplified }: ReturnType<typeof makers>) {
  return {
    httpDuration: exemplified('auth_http_request_duration_seconds', 'Time to answer a request.', [
      'service',
      'route',
      'method',
      'status',
    ]),
    httpRequests: counter('auth_http_requests_total', 'Requests answered.', [
      'service',
      'route',
      'method',
      'status',
    ]),
    login: counter('auth_login_total', 'Sign-ins by result.', ['result', 'strategy']),
    register: counter('auth_register_total', 'Registrations by result.', ['result']),
    refresh: counter('auth_refresh_total', 'Refreshes by result: ok, retried, replay, invalid, expired.', [
      'result',
    ]),
    authDuration: histogram('auth_duration_seconds', 'Time of a sign-in.', ['strategy']),
    lockoutEvents: counter('auth_lockout_events_total', 'Lockouts begun and lifted.', ['action']),
    rateLimitHits: counter('auth_rate_limit_hits_total', 'Requests refused by a rate limit.', ['scope']),
    dependencyUp: gauge('auth_dependency_up', '1 when the dependency answers: db, nats, redis.', [
      'service',
      'dep',
    ]),
  };
}

/** Hashes, sessions, tokens. */
function identityMetrics({ counter, gauge, histogram }: ReturnType<typeof makers>) {
  return {
    hashDuration: histogram(
      'auth_password_hash_duration_seconds',
      'Time of one password hash.',
      ['operation'],
      hashSeconds,
    ),
    hashesInFlight: gauge('auth_password_hashes_in_flight', 'Password hashes being computed.'),
    hashQueue: gauge('auth_password_hash_queue', 'Requests waiting for a place to hash.'),
    sessionActive: gauge(
      'session_active',
      'Sessions neither ended nor expired; largest tenants, the rest as other.',
      ['tenant'],
    ),
    sessionRefreshes: counter('session_refreshes_total', 'Refresh tokens spent for a successor.'),
    tokenIssued: counter('token_issued_total', 'Tokens issued: access, refresh.', ['kind']),
    signingKeys: gauge('token_signing_keys', 'Signing keys by state.', ['state']),
    signingKeyAge: gauge('token_signing_key_age_seconds', 'Age of the key that signs.'),
    signingKeyActivated: gauge(
      'token_signing_key_activated_timestamp_seconds',
      'When the managed key that signs began to: the time of the newest rotation.',
    ),
    signingKeyRotationDue: gauge(
      'token_signing_key_rotation_due_timestamp_seconds',
      'When the managed key that signs is to be replaced by schedule.',
    ),
    feedStale: gauge(
      'token_revocation_feed_stale',
      '1 while a service asks the database because the feed is stale.',
      ['service'],
    ),
  };
}

/** Database, outbox, consumers, jobs. */
function eventMetrics({ counter, gauge, histogram }: ReturnType<typeof makers>) {
  return {
    dbQueryDuration: histogram('db_query_duration_seconds', 'Time of a database query.', [
      'service',
      'operation',
    ]),
    dbPool: gauge('db_pool_connections', 'Connections of the pool: total, idle, waiting, max.', [
      'service',
      'state',
    ]),
    outboxDepth: gauge('outbox_depth', 'Events not yet on the bus.', ['service']),
    outboxOldest: gauge('outbox_oldest_seconds', 'Age of the oldest event not yet on the bus.', ['service']),
    outboxUnconfirmed: gauge('outbox_unconfirmed', 'Events on the bus that audit has not confirmed.', [
      'service',
    ]),
    eventsPublished: counter('events_published_total', 'Events put on the bus.', ['type']),
    eventsConsumed: counter(
      'events_consumed_total',
      'Events handled by a consumer: ok, duplicate, retried, dead.',
      ['consumer', 'result'],
    ),
    consumerLag: gauge('consumer_lag', 'Events a consumer has not acknowledged.', ['consumer']),
    deadLetters: counter('dead_letters_total', 'Events given up on.', ['consumer']),
    auditGap: counter(
      'audit_gap_total',
      'Events published long ago that audit did not have, and got again.',
      ['service'],
    ),
    auditCheckpointAge: gauge(
      'audit_checkpoint_age_seconds',
      'Age of the newest checkpoint of the audit trail; of the process while there is none.',
    ),
    auditCheckpointInterval: gauge(
      'audit_checkpoint_interval_seconds',
      'How old a checkpoint may become while events come: AUDIT_CHECKPOINT_SECONDS.',
    ),
    auditCheckpointFailures: counter(
      'audit_checkpoint_failures_total',
      'Checkpoints that could not be made or handed over: sign, file, url.',
      ['sink'],
    ),
    auditFaultsOpen: gauge(
      'audit_chain_faults_open',
      'Checkpoints kept outside that the audit trail is not the one of, not yet acknowledged.',
    ),
    auditLag: histogram('audit_lag_seconds', 'From the commit of a change to its audit row.', []),
    jobRuns: counter(
      'job_runs_total',
      'Runs of background jobs: ok, failed, skipped (another instance was at it).',
      ['task', 'result'],
    ),
  };
}

/** NATS identities and clusters; the names are guide NIS'. */
function natsMetrics({ counter, gauge, histogram }: ReturnType<typeof makers>) {
  const request = ['service', 'method', 'status'] as const;
  return {
    nisOperators: gauge('nis_operators_total', 'NATS operators.'),
    nisAccounts: gauge('nis_accounts_total', 'NATS accounts, without deleted ones.'),
    nisUsers: gauge('nis_users_total', 'NATS users.'),
    nisClusters: gauge('nis_clusters_total', 'Registered NATS clusters.'),
    nisClustersHealthy: gauge(
      'nis_clusters_healthy',
      'Clusters whose servers all answer, are sound and trust us.',
    ),
    clusterSyncDuration: histogram(
      'nis_cluster_sync_duration_seconds',
      'Time to bring a cluster to what is wanted: kind is full or change.',
      ['kind'],
      [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300],
    ),
    clusterSyncErrors: counter(
      'nis_cluster_sync_errors_total',
      'Pushes that were not proven on every server.',
      ['cause'],
    ),
    clusterAccounts: gauge(
      'nis_cluster_accounts',
      'Accounts of all clusters by state: in_sync, drifted, …, foreign.',
      ['state'],
    ),
    encryptionOperations: counter('nis_encryption_operations_total', 'Seeds sealed and opened.', [
      'operation',
      'result',
    ]),
    encryptionRecords: gauge('nis_encryption_records', 'Sealed records by the state of their ring key.', [
      'state',
    ]),
    nisRequests: counter('nis_api_requests_total', 'Requests to /api/nats.', request),
    nisRequestDuration: histogram(
      'nis_api_request_duration_seconds',
      'Time to answer a request to /api/nats.',
      request,
    ),
    nisDbConnectionsOpen: gauge('nis_db_connections_open', 'Open database connections of nats-identity.'),
    nisDbConnectionsMax: gauge(
      'nis_db_connections_max',
      'Most database connections that nats-identity may open.',
    ),
    nisDbQueryDuration: histogram('nis_db_query_duration_seconds', 'Time of a query of nats-identity.', [
      'operation',
    ]),
  };
}

/** The metrics of one process, shared by the services in it. */
export type Metrics = ReturnType<typeof createMetrics>;

/** Makes the registry of a process. `runtime` adds Node's own metrics (event loop, heap, garbage collection). */
export function createMetrics(options: { runtime: boolean }) {
  const registry = new Registry();
  // Only a registry of this kind takes histograms with exemplars; its own rendering is the older format's (openmetrics.ts).
  (registry as Registry<RegistryContentType>).setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  if (options.runtime) collectDefaultMetrics({ register: registry });
  const make = makers(registry);
  const metrics = {
    ...processMetrics(make),
    ...requestMetrics(make),
    ...identityMetrics(make),
    ...eventMetrics(make),
    ...natsMetrics(make),
  };
  for (const metric of Object.values(metrics)) forgetZero(metric);
  registry.setContentType(Registry.PROMETHEUS_CONTENT_TYPE);
  return { registry, ...metrics };
}

/**
 * A gauge without labels would say 0 in every process, those that never measure it included: no connections of at most
 * none are an exhausted pool, and a time of 0 is long past. It appears when it is first set.
 */
function forgetZero(metric: unknown): void {
  const { labelNames } = metric as { readonly labelNames: readonly string[] };
  if (metric instanceof Gauge && labelNames.length === 0) metric.remove();
}
