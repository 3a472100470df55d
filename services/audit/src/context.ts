import type { ConfigOf, Context } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import type { Checkpoints } from './checkpoint.ts';
import type { CheckpointKey } from './checkpoint-key.ts';
import type { auditSettings } from './settings.ts';

/** What every service has, with audit's settings and tables. */
export type BaseContext = Context<ConfigOf<typeof auditSettings>, AuditDatabase>;

/** What checkpoints are made with. */
export type CheckpointContext = BaseContext & { readonly checkpointKey: CheckpointKey };

/** What audit's files have at hand. */
export type AuditContext = CheckpointContext & { readonly checkpoints: Checkpoints };
