import { randomUUID } from 'node:crypto';
import { ConfigError } from './config.ts';
import { type Keyring, parseKeyring } from './keyring.ts';
import { deriveKey } from './secret.ts';
import type { BaseConfig } from './settings.ts';

/** What derives from the root secret, and the ring for what is stored encrypted. */
export interface Secrets {
  /** 32 bytes of its own for one purpose (HKDF-SHA256, RFC 5869). */
  key(purpose: string): Buffer;
  /** Signs the cursors of lists. */
  readonly cursorKey: Buffer;
  /** What services show each other. */
  readonly serviceCredential: string;
  readonly keyring: Keyring;
  /** Names this process for as long as it lives, where the holders of the ring are counted. */
  readonly processId: string;
}

/** @throws ConfigError when the key ring cannot be used. */
export function openSecrets(
  config: Pick<BaseConfig, 'GATEHOUSE_SECRET' | 'ENCRYPTION_KEYS' | 'ENCRYPTION_CURRENT_KEY_ID'>,
): Secrets {
  const key = (purpose: string) => deriveKey(config.GATEHOUSE_SECRET, purpose);
  return {
    key,
    cursorKey: key('cursor'),
    serviceCredential: key('service-credential').toString('base64url'),
    keyring: openKeyring(config),
    processId: randomUUID(),
  };
}

function openKeyring(config: Pick<BaseConfig, 'ENCRYPTION_KEYS' | 'ENCRYPTION_CURRENT_KEY_ID'>): Keyring {
  try {
    return parseKeyring(config.ENCRYPTION_KEYS, config.ENCRYPTION_CURRENT_KEY_ID);
  } catch (error) {
    throw new ConfigError([error instanceof Error ? error.message : 'ENCRYPTION_KEYS is not valid']);
  }
}
