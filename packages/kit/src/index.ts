export { type AdminCall, administeredBy } from './administered-by.ts';
export { changedKeys } from './announce-keys.ts';
export { Balancer, connectionDefaults } from './balance.ts';
export { noteNatsCertificate } from './bus.ts';
export { noteCertificate } from './certificates.ts';
export { addressKey, addressKeysOf, cidrMatcher } from './client-address.ts';
export * as setting from './config.ts';
export { ConfigError, type ConfigOf, readConfig, type Settings } from './config.ts';
export { type BatchFacts, type ConsumerDefinition, consumer, type IncomingEvent } from './consume.ts';
export { readCursor, signCursor } from './cursor.ts';
export { isConnectivityError } from './database-error.ts';
export { probe } from './health.ts';
export { hmacSha256 } from './hmac.ts';
export { isUuid, newId, newSecretBytes } from './id.ts';
export type { JobDefinition } from './job.ts';
export {
  isLegacySealed,
  KEY_ID_PATTERN,
  type Keyring,
  MissingEncryptionKeyError,
  parseKeyring,
  SealedTextError,
  sealedKeyId,
} from './keyring.ts';
export { page, pageOf, pageQuery, readPage, Time, Uuid } from './list.ts';
export { createLog, describeError, type Log, tracedLog } from './log.ts';
export { main } from './main.ts';
export { createMetrics, type Metrics } from './metrics.ts';
export { openApiPaths, problemsOf } from './openapi.ts';
export {
  type AnyNewEvent,
  append,
  appendAlone,
  appendMany,
  appendRevocation,
  EVENT_LANE,
  eventJson,
  OUTBOX_INSERT,
} from './outbox.ts';
export { clientIpHeader, credentialHeader, PeerError } from './peer.ts';
export { originsOf } from './peers.ts';
export {
  covers,
  may,
  type Permission,
  permissions,
  type Role,
  roleNames,
  roles,
  rolesWith,
  tenantScope,
} from './permission.ts';
export type { Principal } from './principal.ts';
export { sharedFor } from './probes.ts';
export { Problem, type ProblemCode, problemDocument, problems, retryLater } from './problem.ts';
export * as questions from './questions.ts';
export {
  createLimiter,
  createRateLimitStore,
  type Limiter,
  type RateLimitStore,
  type RateVerdict,
  rateLimitHeaders,
  registerRateLimit,
  requestLimiter,
} from './rate-limit.ts';
export { Reason, reasonGiven, reasonOf } from './reason.ts';
export { type Call, type Client, type Route, routesOf } from './route.ts';
export { configOf, type Running, type RunOptions, run } from './run.ts';
export { constantTimeEqual } from './secret.ts';
export type { Secrets } from './secrets.ts';
export {
  type Answer,
  answersOf,
  type Context,
  defineService,
  type Edge,
  type Service,
  type ServiceName,
  serviceNames,
} from './service.ts';
export { type BaseConfig, baseSettings } from './settings.ts';
export { settingsInForce, settingsOfOneProcess } from './settings-in-force.ts';
export { clientPropagates, traceIdOf } from './trace.ts';
