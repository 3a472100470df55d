import { parseTrustProxy } from './client-address.ts';
import * as setting from './config.ts';
import { parseSecret } from './secret.ts';

const ownDatabase = (service: string) =>
  setting.optionalUrl(['postgres:', 'postgresql:'], {
    secret: true,
    doc: `Database URL of the ${service} service, with a login of its own; DATABASE_URL unless given.`,
  });

/** Where each service of a process has another login than the others. */
const serviceDatabases = {
  AUTH_DATABASE_URL: ownDatabase('auth'),
  TOKEN_DATABASE_URL: ownDatabase('token'),
  AUDIT_DATABASE_URL: ownDatabase('audit'),
  GATEWAY_DATABASE_URL: ownDatabase('gateway'),
  NATS_IDENTITY_DATABASE_URL: ownDatabase('nats-identity'),
} as const;

/** Settings that every service reads. */
export const baseSettings = {
  NODE_ENV: setting.choice(['development', 'test', 'production'], {
    default: 'development',
    doc: 'Kind of deployment; production refuses missing secrets and an open metrics page.',
  }),
  GATEHOUSE_CONFIG: setting.optional({
    doc: 'A YAML file that completes the environment, which wins; without this `./config.yaml` in the working directory, if it is there. As in NIS: encryption, database, logging, server, auto_migrate; besides any setting by its name.',
  }),
  HOST: setting.text({ default: '127.0.0.1', doc: 'Address to listen on; 0.0.0.0 in containers.' }),
  PORT: setting.integer({ default: 8080, min: 0, max: 65535, doc: 'Port to listen on.' }),
  DATABASE_URL: setting.url(['postgres:', 'postgresql:'], {
    requiredIn: 'always',
    secret: true,
    doc: 'Postgres 15 or newer, e.g. postgres://gatehouse:…@localhost:5432/gatehouse.',
  }),
  ...serviceDatabases,
  DATABASE_DIRECT_URL: setting.optionalUrl(['postgres:', 'postgresql:'], {
    secret: true,
    doc: 'The owner’s login, straight to Postgres: for migrations, backup, restore and break-glass. DATABASE_URL unless given; needed when that leads to a pooler in transaction mode.',
  }),
  DATABASE_POOLER: setting.choice(['none', 'transaction'], {
    default: 'none',
    doc: '`transaction` when the services reach Postgres through a pooler that lends connections by the transaction (PgBouncer, pool_mode=transaction). Each service then needs a login of its own, which carries its settings.',
  }),
  DATABASE_PREPARED_STATEMENTS: setting.flag({
    default: true,
    doc: 'Whether statements of hot paths are prepared by name; false behind a pooler that cannot keep them (PgBouncer before 1.21, or with max_prepared_statements=0). Costs speed, see docs/scaling.md.',
  }),
  DATABASE_POOL_MAX: setting.integer({
    default: 8,
    min: 2,
    max: 100,
    doc: 'Connections of one service of one process; the sum must stay under max_connections.',
  }),
  DATABASE_SET_ROLE: setting.flag({
    default: true,
    doc: 'Each service drops to its own role (gatehouse_auth, …). false when DATABASE_URL logs in as that role already.',
  }),
  MIGRATE_ON_START: setting.flag({
    default: true,
    doc: 'Apply pending migrations at the start, one instance at a time; false when `gatehouse migrate up` is a step of its own.',
  }),
  NATS_URL: setting.text({
    default: 'nats://127.0.0.1:4222',
    secret: true,
    doc: 'nats-server with JetStream, 2.10 or newer.',
  }),
  NATS_CREDS: setting.optional({
    doc: 'Credentials for NATS: a `.creds` file, or a folder with one a process (`token.creds`, …, `all-in-one.creds`). Read again at each connection. Without it NATS_URL may hold user and password.',
  }),
  NATS_STREAM_REPLICAS: setting.integer({
    default: 1,
    min: 1,
    max: 5,
    doc: 'Replicas of the streams; 3 on a cluster.',
  }),
  GATEHOUSE_SECRET: setting.secret((text) => parseSecret(text), {
    requiredIn: 'always',
    doc: 'Root secret of 32 random bytes or more (openssl rand -base64 32); keys for refresh successors, cursors and service credentials derive from it.',
  }),
  ENCRYPTION_KEYS: setting.secret((text) => text, {
    requiredIn: 'always',
    doc: 'Key ring for what is stored encrypted: ids with 32 random bytes in base64 (openssl rand -base64 32), e.g. k1:…,k2:….',
  }),
  ENCRYPTION_CURRENT_KEY_ID: setting.text({
    requiredIn: 'always',
    doc: 'Which key of the ring shall encrypt; a new one does as soon as every process holds it. The others only decrypt.',
  }),
  TOKEN_ISSUER: setting.text({
    default: 'http://localhost:8080',
    doc: 'iss of access tokens: the public address of the installation.',
  }),
  TOKEN_AUDIENCE: setting.text({ default: 'gatehouse', doc: 'aud of access tokens.' }),
  ACCESS_TOKEN_TTL_SECONDS: setting.integer({
    default: 900,
    min: 30,
    max: 86_400,
    doc: 'Lifetime of access tokens.',
  }),
  JWKS_MAX_AGE_SECONDS: setting.integer({
    default: 300,
    min: 1,
    max: 86_400,
    doc: 'How long the JWKS may be cached.',
  }),
  TRUST_PROXY: setting.parsed('loopback, CIDR list or hop count', parseTrustProxy, {
    default: parseTrustProxy('loopback'),
    shown: 'loopback',
    doc: 'Whose X-Forwarded-For is believed. A hop count also needs the direct peer to be private or loopback.',
  }),
  RATE_LIMIT_REDIS_URL: setting.optionalUrl(['redis:', 'rediss:'], {
    secret: true,
    doc: 'Redis that shares rate limits between instances; without it each process counts for itself.',
  }),
  LOG_LEVEL: setting.choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    doc: 'Least grave log level that is written.',
  }),
  METRICS_ENABLED: setting.flag({ default: true, doc: 'Whether /metrics is there.' }),
  METRICS_GUARD: setting.choice(['none', 'secret', 'cidr'], {
    default: 'cidr',
    doc: 'Who may read /metrics. none is refused in production unless HOST is a private address.',
  }),
  METRICS_GUARD_SECRET: setting.optional({
    secret: true,
    doc: 'What a scraper shows when METRICS_GUARD=secret: in the header x-metrics-secret, or as a bearer token.',
  }),
  METRICS_GUARD_ALLOWLIST: setting.list({
    default: ['127.0.0.0/8', '::1/128'],
    doc: 'Networks that may read /metrics when METRICS_GUARD=cidr.',
  }),
  READINESS_REQUIRES: setting.list({ default: ['db', 'nats'], doc: 'What /health/ready needs: db, nats.' }),
  DEAD_LETTER_DAYS: setting.integer({
    default: 90,
    min: 0,
    max: 3_650,
    doc: 'How long a dead letter is kept after it was replayed or discarded; 0 keeps it for ever. One that waits stays in any case.',
  }),
  DRAIN_SECONDS: setting.integer({
    default: 5,
    min: 0,
    max: 300,
    doc: 'How long a process that is told to end (SIGTERM) says that it is not ready while it still serves: load balancers need it to turn away. 5 or more, unless nobody else is to take over.',
  }),
  SHUTDOWN_TIMEOUT_SECONDS: setting.integer({
    default: 15,
    min: 1,
    max: 300,
    doc: 'How long open requests may take while stopping.',
  }),
  AUTH_URL: setting.optionalOrigins({
    doc: 'Where the auth service listens, when it is another process; several instances with commas.',
  }),
  TOKEN_URL: setting.optionalOrigins({
    doc: 'Where the token service listens, when it is another process; several instances with commas.',
  }),
  AUDIT_URL: setting.optionalOrigins({
    doc: 'Where the audit service listens, when it is another process; several instances with commas.',
  }),
  NATS_IDENTITY_URL: setting.optionalOrigins({
    doc: 'Where the nats-identity service listens, when it is another process; several instances with commas.',
  }),
  GATEWAY_URL: setting.optionalOrigins({
    doc: 'Where the gateway listens, when it is another process; several instances with commas.',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: setting.optionalUrl(['http:', 'https:'], {
    doc: 'OTLP receiver; tracing is off without it.',
  }),
} as const;

/** The base settings as read. */
export type BaseConfig = setting.ConfigOf<typeof baseSettings>;
