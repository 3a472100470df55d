import type { Command } from 'commander';
import { addAuditCheckpoints } from './audit-checkpoints.ts';
import { addAuditErase } from './audit-erase.ts';
import { addAuditExport } from './audit-export.ts';
import { addAuditSearch } from './audit-search.ts';
import { addAuditVerify } from './audit-verify.ts';

/** `gatehouse audit search|export|verify|checkpoints|…`: the trail of everything that happened. */
export function addAudit(program: Command): void {
  const audit = program.command('audit').description('the audit trail: find, export, verify, erase');
  addAuditSearch(audit);
  addAuditExport(audit);
  addAuditVerify(audit);
  addAuditCheckpoints(audit);
  addAuditErase(audit);
}
