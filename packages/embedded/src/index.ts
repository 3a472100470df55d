export { type BusFiles, followBus, openBusFiles } from './bus-files.ts';
export { EmbeddedError, reasonOf } from './embedded-error.ts';
export {
  type Binary,
  findCompose,
  findKustomize,
  findNatsServer,
  findNatsServer210,
  findPgBouncer,
  findPrometheus,
  findPromtool,
  findRedisServer,
  repositoryRoot,
} from './find-binary.ts';
export { makeHome, temporaryHome } from './home.ts';
export {
  type Installation,
  type InstallationMode,
  type InstallationOptions,
  type StartOptions,
  startInstallation,
} from './installation.ts';
export type { BusServer } from './installation-nats.ts';
export {
  commandLineOf,
  isAlive,
  type StopPlan,
  stopLeftover,
  stopProcess,
  waitUntilGone,
} from './leftover.ts';
export { searchedLogs } from './log-search.ts';
export { type NatsOptions, startNats } from './nats.ts';
export { type PgBouncerOptions, type PoolerLogin, startPgBouncer } from './pgbouncer.ts';
export { findFreePort, isPortFree } from './port.ts';
export { type PostgresOptions, type RunningPostgres, startPostgres } from './postgres.ts';
export { type PrometheusOptions, startPrometheus } from './prometheus.ts';
export { type RedisOptions, startRedis } from './redis.ts';
export { findLeaks, type Leak, type Logged, refuseLeaks, type Secrets } from './secret-search.ts';
export {
  isSecretSetting,
  noteBody,
  noteSecret,
  noteSeedsIn,
  noteSettings,
  secretsSeen,
  watchSecrets,
} from './secret-watch.ts';
export {
  type ProcessPlan,
  type RunningServer,
  type ServerProcess,
  StartFailure,
  startProcess,
} from './server-process.ts';
export { makeServiceLogins, pooledSettings } from './service-logins.ts';
