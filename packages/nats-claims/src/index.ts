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
export { type Creds, formatCreds, parseCreds } from './creds.ts';
export { type ClaimChange, diffClaims } from './diff.ts';
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
