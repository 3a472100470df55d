import { type BaseConfig, setting } from '@gatehouse/kit';
import { environmentKeyFaults } from './environment-keys.ts';

/** Settings of the token service. */
export const tokenSettings = {
  REFRESH_IDLE_TTL_SECONDS: setting.integer({
    default: 14 * 86_400,
    min: 60,
    max: 400 * 86_400,
    doc: 'A refresh token that is not used for so long expires.',
  }),
  SESSION_ABSOLUTE_TTL_SECONDS: setting.integer({
    default: 90 * 86_400,
    min: 60,
    max: 400 * 86_400,
    doc: 'The end of every session, however often it was refreshed.',
  }),
  REFRESH_REUSE_GRACE_SECONDS: setting.integer({
    default: 10,
    min: 0,
    max: 60,
    doc: 'How long the same client may repeat a refresh (two tabs, a lost answer) and gets the same successor; 0 for never.',
  }),
  KEY_ROTATION_DAYS: setting.integer({
    default: 90,
    min: 1,
    max: 3650,
    doc: 'Managed signing keys are replaced after so many days.',
  }),
  JWT_ALGORITHM: setting.choice(['RS256', 'ES256', 'EdDSA'], {
    default: 'RS256',
    doc: 'Algorithm of new managed signing keys.',
  }),
  JWT_PRIVATE_KEY_PEM: setting.optional({
    secret: true,
    doc: 'Private key that signs access tokens (RSA of 2048 bits or more, P-256 or Ed25519); without it keys are managed. Managed keys stay published beside it until they are revoked. Line breaks may be written \\n.',
  }),
  JWT_PUBLIC_KEY_PEM: setting.optional({ doc: 'Public half of JWT_PRIVATE_KEY_PEM.' }),
  JWT_KID: setting.optional({ doc: 'Key id of JWT_PRIVATE_KEY_PEM in the JWKS and in tokens.' }),
  OIDC_KEY_PAIRS: setting.optional({
    doc: 'Further public keys for the JWKS, as a JSON list of {"kid":"…","public_key_pem":"…"}: the next key before it signs, the last one while its tokens live.',
  }),
} as const;

/** The settings as read. */
export type TokenConfig = setting.ConfigOf<typeof tokenSettings>;

/** Settings that contradict each other, a line each; never their values. */
export function settingFaults(config: TokenConfig & BaseConfig): string[] {
  const faults: string[] = [];
  const idle = config.REFRESH_IDLE_TTL_SECONDS;
  if (idle > config.SESSION_ABSOLUTE_TTL_SECONDS)
    faults.push('REFRESH_IDLE_TTL_SECONDS must not be longer than SESSION_ABSOLUTE_TTL_SECONDS');
  if (config.ACCESS_TOKEN_TTL_SECONDS > idle)
    faults.push('ACCESS_TOKEN_TTL_SECONDS must not be longer than REFRESH_IDLE_TTL_SECONDS');
  if (config.REFRESH_REUSE_GRACE_SECONDS >= idle)
    faults.push('REFRESH_REUSE_GRACE_SECONDS must be shorter than REFRESH_IDLE_TTL_SECONDS');
  if (
    config.KEY_ROTATION_DAYS * 86_400 <=
    2 * (config.ACCESS_TOKEN_TTL_SECONDS + config.JWKS_MAX_AGE_SECONDS)
  )
    faults.push('KEY_ROTATION_DAYS is too short for ACCESS_TOKEN_TTL_SECONDS and JWKS_MAX_AGE_SECONDS');
  return [...faults, ...environmentKeyFaults(config)];
}
