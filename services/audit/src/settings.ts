import { setting } from '@gatehouse/kit';

/** Settings of audit alone. */
export const auditSettings = {
  AUDIT_LOG_ORIGIN: setting.optional({
    doc: 'Name of this installation’s audit log in its checkpoints, without spaces and plus signs, e.g. `id.example.com/audit`; made from the key that signs them unless given.',
  }),
  AUDIT_CHECKPOINT_SECONDS: setting.integer({
    default: 60,
    min: 1,
    max: 86_400,
    doc: 'How old a checkpoint of the audit trail may become while events come.',
  }),
  AUDIT_CHECKPOINT_EVENTS: setting.integer({
    default: 1000,
    min: 1,
    max: 1_000_000,
    doc: 'Events after which there is a checkpoint, however young the last one is.',
  }),
  AUDIT_CHECKPOINT_FILE: setting.optional({
    doc: 'File to which each checkpoint is appended: keep it where the database’s administrators cannot write. What it says is compared with the trail at the start and ever after.',
  }),
  AUDIT_CHECKPOINT_URL: setting.optionalUrl(['http:', 'https:'], {
    secret: true,
    doc: 'Where each checkpoint is posted as text/plain; redirects are not followed.',
  }),
  AUDIT_RETENTION_MONTHS: setting.integer({
    default: 0,
    min: 0,
    max: 1200,
    doc: 'Whole months that audit records are kept after the one in which they were recorded; 0 keeps them for ever.',
  }),
} as const;

/** Faults of what goes together. */
export function auditFaults(config: { readonly AUDIT_LOG_ORIGIN: string | undefined }): string[] {
  const { AUDIT_LOG_ORIGIN: origin } = config;
  return origin === undefined || /^[^\s+]{1,200}$/u.test(origin)
    ? []
    : ['AUDIT_LOG_ORIGIN must have no spaces and no plus signs, and at most 200 characters'];
}
