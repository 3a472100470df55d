import { setting } from '@gatehouse/kit';

/** Settings of the nats-identity service. */
export const natsIdentitySettings = {
  ENCRYPTION_LOST_KEYS: setting.list({
    default: [],
    doc: 'Ids of encryption keys that are lost for good. Without this a start is refused while records need a key that ENCRYPTION_KEYS lacks; with it they stay unreadable.',
  }),
  NATS_SYNC_INTERVAL_SECONDS: setting.integer({
    default: 300,
    min: 5,
    max: 86_400,
    doc: 'How often every cluster is compared whole with what it should hold, besides the push of each change.',
  }),
  NATS_HEALTH_INTERVAL_SECONDS: setting.integer({
    default: 15,
    min: 1,
    max: 3_600,
    doc: 'How often the servers of every cluster are asked how they are.',
  }),
  NATS_REPLY_TIMEOUT_MS: setting.integer({
    default: 2_000,
    min: 100,
    max: 60_000,
    doc: 'How long the answers of a cluster’s servers are waited for; a server that has not answered by then counts as missing.',
  }),
  NATS_TOMBSTONE_DAYS: setting.integer({
    default: 90,
    min: 1,
    max: 3_650,
    doc: 'How long a deleted account is deleted again wherever it comes back; longer than any server may be away.',
  }),
  NATS_BUS_BUNDLE: setting.optional({
    doc: 'The platform’s own bus as `npm start` or `gatehouse bus init` made it, with its private keys: taken over at the next start, and removed then.',
  }),
  NATS_CREDENTIAL_TTL_SECONDS: setting.integer({
    default: 2_592_000,
    min: 1,
    max: 315_360_000,
    doc: 'How long NATS credentials live when neither the call nor the user says it: 30 days.',
  }),
  NATS_CREDENTIAL_TTL_MAX_SECONDS: setting.integer({
    default: 31_622_400,
    min: 1,
    max: 315_360_000,
    doc: 'The longest that NATS credentials may live unless a platform administrator says otherwise: 366 days. Only platform administrators issue some that never expire.',
  }),
  NATS_LEDGER_DAYS: setting.integer({
    default: 400,
    min: 1,
    max: 3_650,
    doc: 'How long the ledger of issued NATS credentials remembers what has expired.',
  }),
} as const;

/** The settings as read. */
export type NatsIdentityConfig = setting.ConfigOf<typeof natsIdentitySettings>;

/** Settings that do not go together. */
export function settingFaults(config: NatsIdentityConfig): string[] {
  return config.NATS_CREDENTIAL_TTL_SECONDS > config.NATS_CREDENTIAL_TTL_MAX_SECONDS
    ? ['NATS_CREDENTIAL_TTL_SECONDS is above NATS_CREDENTIAL_TTL_MAX_SECONDS']
    : [];
}
