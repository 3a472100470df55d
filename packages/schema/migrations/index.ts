import type { Allowance } from '../src/migration-rule.ts';
import * as foundation from './0001-foundation.ts';
import * as auth from './0002-auth.ts';
import * as token from './0003-token.ts';
import * as audit from './0004-audit.ts';
import * as authAdministration from './0005-auth-administration.ts';
import * as auditEventId from './0006-audit-event-id.ts';
import * as natsIdentity from './0007-nats-identity.ts';
import * as auditChain from './0008-audit-chain.ts';
import * as administration from './0009-administration.ts';
import * as auditSearch from './0010-audit-search.ts';
import * as compatibility from './0011-compatibility.ts';
import * as deadLetterDiscarded from './0012-dead-letter-discarded.ts';
import * as deadLetterWaiting from './0013-dead-letter-waiting.ts';

/** One step of the database's history: SQL text in both directions, run in one transaction with its record. */
export interface MigrationText {
  readonly up: string;
  readonly down: string;
  /**
   * Its statements run one at a time and each commits by itself, because Postgres refuses them in a transaction
   * (`create index concurrently`). Each must stand a second run: what was broken off begins again.
   */
  readonly online?: boolean;
  /** What the rules for migrations refuse and this one does all the same, with its reason. */
  readonly allows?: readonly Allowance[];
}

/**
 * The whole history, in order. A landed entry is never edited, renamed or removed: databases in the field have
 * run it. New entries go to the end, with the next number.
 */
export const migrations: Readonly<Record<string, MigrationText>> = {
  '0001-foundation': foundation,
  '0002-auth': auth,
  '0003-token': token,
  '0004-audit': audit,
  '0005-auth-administration': authAdministration,
  '0006-audit-event-id': auditEventId,
  '0007-nats-identity': natsIdentity,
  '0008-audit-chain': auditChain,
  '0009-administration': administration,
  '0010-audit-search': auditSearch,
  '0011-compatibility': compatibility,
  '0012-dead-letter-discarded': deadLetterDiscarded,
  '0013-dead-letter-waiting': deadLetterWaiting,
};
