import Type from 'typebox';
import { administered, event } from './event.ts';

/** What happens to the trail itself. */
export const auditEvents = [
  event(
    'audit.checkpoint.signed',
    {
      severity: 'info',
      outcome: 'success',
      summary: 'A checkpoint over all chains of the audit trail was signed (C2SP tlog-checkpoint).',
    },
    {
      origin: Type.String(),
      size: Type.Integer({ description: 'Entries of the log of heads.' }),
      root: Type.String({ description: 'Base64, as in the note.' }),
      events: Type.Integer({ description: 'Records of all chains.' }),
      note: Type.String({ description: 'The signed note, as verifiers take it.' }),
    },
  ),
  event(
    'audit.exported',
    { severity: 'notice', outcome: 'success', summary: 'The audit trail, or a part of it, was exported.' },
    {
      ...administered,
      format: Type.String(),
      filters: Type.Record(Type.String(), Type.String()),
      records: Type.Integer(),
      complete: Type.Boolean({
        description: 'Whether the last record was handed over; false: it was broken off.',
      }),
    },
  ),
  event(
    'audit.erased',
    {
      severity: 'warning',
      outcome: 'success',
      summary: 'The personal fields of a person were erased from the audit trail.',
    },
    { ...administered, user_id: Type.String(), records: Type.Integer() },
  ),
  event(
    'audit.retention.dropped',
    {
      severity: 'notice',
      outcome: 'success',
      summary: 'Months older than the retention were dropped; the root of each chain was kept.',
    },
    { months: Type.Array(Type.String()) },
  ),
  event(
    'audit.chain.fault',
    {
      severity: 'critical',
      outcome: 'failure',
      summary: 'The audit trail is not the one that a checkpoint kept outside vouches for.',
    },
    { cause: Type.String({ description: 'rolled_back or forked' }), detail: Type.String() },
  ),
  event(
    'audit.chain.fault_acknowledged',
    {
      severity: 'critical',
      outcome: 'success',
      summary: 'Somebody let checkpoints be signed on top of a trail that is not the one vouched for.',
    },
    { ...administered, fault_id: Type.String(), cause: Type.String(), detail: Type.String() },
  ),
] as const;
