export { type Activation, activationFaults, encodeActivation, type WantedActivation } from './activation.ts';
export {
  type BusService,
  busInboxPrefix,
  busServices,
  busSubjects,
  busSubjectsOfAll,
  busTemplate,
  eventStream,
  heartbeatSubject,
  managesBusStreams,
  revocationStream,
  revocationSubject,
} from './bus-services.ts';
export { limitsExceeding } from './ceiling.ts';
export { type ClaimFault, memberPath } from './claim-fault.ts';
export {
  AccountClaims,
  AccountLimits,
  Export,
  Import,
  JetStreamLimits,
  OperatorClaims,
  RoleTemplate,
  UserClaims,
} from './claims.ts';
export { completeAccountClaims, completeRoleTemplate, completeUserClaims } from './complete-claims.ts';
export { type Creds, credsText, formatCreds, parseCreds } from './creds.ts';
export { type ClaimChange, diffClaims } from './diff.ts';
export { explicitAccountClaims, explicitScope, explicitUserClaims } from './explicit-claims.ts';
export {
  type DecodedJwt,
  decodeJwt,
  encodeJwt,
  JWT_BYTES_MAX,
  type JwtEnvelope,
  JwtError,
  jwtHash,
  nextIat,
} from './jwt.ts';
export {
  createNkey,
  isPublicKey,
  type Nkey,
  NkeyError,
  type NkeyKind,
  nkeyFromSeed,
  nkeyKind,
  verifyNkey,
} from './nkey.ts';
export {
  busCreds,
  busServerConfig,
  makePlatformBus,
  PlatformBus,
  PublicBus,
  publicBus,
  readPlatformBus,
  readPublicBus,
} from './platform-bus.ts';
export {
  type NscAccount,
  type NscFault,
  type NscFile,
  type NscOperator,
  type NscStore,
  type NscUser,
  readNscStore,
  wipeSeeds,
} from './read-nsc-store.ts';
export {
  type Listen,
  type PreloadedAccount,
  type ServerConfig,
  ServerConfigError,
  type ServerConfigOptions,
  serverConfig,
} from './server-config.ts';
export { type AccountParts, joinAccount, splitAccount } from './split-account.ts';
export { covers, hasWildcards, subjectFault } from './subject.ts';
export { systemAccountExports } from './system-account.ts';
export {
  EXPANSIONS_MAX,
  previewTemplate,
  type TemplateIdentity,
  type TemplatePreview,
  type TemplateSubject,
} from './template.ts';
export { type AboutAccount, validateAccountClaims } from './validate-account.ts';
export { validateOperatorClaims } from './validate-operator.ts';
export { validateRoleTemplate, validateUserClaims } from './validate-user.ts';
export {
  type NscExport,
  type NscExportEntry,
  type NscOutputFile,
  writeNscStore,
} from './write-nsc-store.ts';
