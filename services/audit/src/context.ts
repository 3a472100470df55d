import type { ConfigOf, Context } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import type { auditSettings } from './settings.ts';

/** What audit's files have at hand. */
export type AuditContext = Context<ConfigOf<typeof auditSettings>, AuditDatabase>;
