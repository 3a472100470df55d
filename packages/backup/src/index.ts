/**
 * Backups of an installation: all of its tables as of one moment, its settings and secrets, in one encrypted file that
 * is checked to the last byte before it counts.
 */
export { generateKeyPair, type KeyPair, parseIdentities, parseRecipients } from './age-keys.ts';
export { BackupFault } from './backup-fault.ts';
export { withClient as withDatabaseClient } from './connection.ts';
export { type Created, type CreateOptions, createBackup, type Progress } from './create.ts';
export type { Head, Manifest, SavedSequence, SavedTable } from './manifest.ts';
export { type Backup, readBackup } from './read.ts';
export { type RestoreOptions, restoreBackup } from './restore.ts';
export { asEnvFile, gatherSecrets, type Secrets, type SecretsSource, settingsOfData } from './secrets.ts';
