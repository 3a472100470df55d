import { createPublicKey, type KeyObject } from 'node:crypto';
import {
  type PublicJwk,
  privateKeyOf,
  publicJwkOf,
  publicKeyOf,
  type Signer,
  signerOf,
} from './signing-key.ts';

/** The settings that keys may come from. */
export interface KeySettings {
  readonly JWT_PRIVATE_KEY_PEM: string | undefined;
  readonly JWT_PUBLIC_KEY_PEM: string | undefined;
  readonly JWT_KID: string | undefined;
  readonly OIDC_KEY_PAIRS: string | undefined;
}

/** Keys of the environment: the one that signs, if it is given, and public ones that only verify. */
export interface EnvironmentKeys {
  readonly signer: Signer | undefined;
  /** Everything the JWKS shows of the environment; the signer's key first. */
  readonly published: readonly PublicJwk[];
}

const kidForm = /^[A-Za-z0-9._~:+/=-]{1,128}$/;

/** What is wrong with the keys of the environment, a line each. */
export function environmentKeyFaults(config: KeySettings): string[] {
  return read(config).faults;
}

/** The keys of the environment. Only for settings that {@link environmentKeyFaults} found good. */
export function environmentKeys(config: KeySettings): EnvironmentKeys {
  const { signing, published } = read(config);
  return { signer: signing && signerOf(signing.key, signing.kid), published };
}

function read(config: KeySettings) {
  const faults: string[] = [];
  const attempt = <T>(setting: string, work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      faults.push(`${setting} ${error instanceof Error ? error.message : 'is not valid'}`);
      return undefined;
    }
  };
  const signing = attempt('JWT_PRIVATE_KEY_PEM', () => readSigning(config, faults));
  const further = attempt('OIDC_KEY_PAIRS', () => readFurther(config.OIDC_KEY_PAIRS)) ?? [];
  const published = [...(signing ? [publicJwkOf(signing.key, signing.kid)] : [])];
  for (const { kid, key } of further) {
    const jwk = publicJwkOf(key, kid);
    const same = published.find((one) => one.kid === kid);
    if (same === undefined) published.push(jwk);
    // The signing key may be listed too; another key under its kid would make half of the tokens invalid.
    else if (JSON.stringify(same) !== JSON.stringify(jwk))
      faults.push('OIDC_KEY_PAIRS lists two different keys under one kid');
  }
  return { faults, signing, published };
}

function readSigning(config: KeySettings, faults: string[]): { key: KeyObject; kid: string } | undefined {
  const { JWT_PRIVATE_KEY_PEM: pem, JWT_PUBLIC_KEY_PEM: publicPem, JWT_KID: kid } = config;
  if (pem === undefined) {
    if (publicPem !== undefined)
      faults.push(
        'JWT_PUBLIC_KEY_PEM is set but JWT_PRIVATE_KEY_PEM is not; keys that only verify belong in OIDC_KEY_PAIRS',
      );
    if (kid !== undefined) faults.push('JWT_KID is set but JWT_PRIVATE_KEY_PEM is not');
    return undefined;
  }
  if (kid === undefined) faults.push('JWT_KID is missing: JWT_PRIVATE_KEY_PEM needs a key id');
  else if (!kidForm.test(kid)) faults.push('JWT_KID must be 1 to 128 letters, digits or . _ ~ : + / = -');
  const key = privateKeyOf(pem);
  if (publicPem !== undefined) {
    const shown = publicKeyOf(publicPem);
    if (!shown.equals(createPublicKey(key)))
      faults.push('JWT_PUBLIC_KEY_PEM is not the public half of JWT_PRIVATE_KEY_PEM');
  }
  return { key, kid: kid ?? '' };
}

function readFurther(text: string | undefined): { kid: string; key: KeyObject }[] {
  if (text === undefined) return [];
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw new Error('is not JSON');
  }
  if (!Array.isArray(list)) throw new Error('must be a JSON list');
  return list.map((item: unknown, index) => {
    const { kid, public_key_pem: pem } = (item ?? {}) as { kid?: unknown; public_key_pem?: unknown };
    if (typeof kid !== 'string' || !kidForm.test(kid)) throw new Error(`entry ${index + 1} has no valid kid`);
    if (typeof pem !== 'string') throw new Error(`entry ${index + 1} has no public_key_pem`);
    try {
      return { kid, key: publicKeyOf(pem) };
    } catch (error) {
      throw new Error(`entry ${index + 1} ${error instanceof Error ? error.message : 'is not valid'}`);
    }
  });
}
