import type { Command } from 'commander';
import { addAuditExport } from './audit-export.ts';
import { addAuditSearch } from './audit-search.ts';
import { addAuditVerify } from './audit-verify.ts';

/** `gatehouse audit search|export|verify`: the trail of everything that happened. */
export function addAudit(program: Command): void {
  const audit = program.command('audit').description('the audit trail: find, export, verify');
  addAuditSearch(audit);
  addAuditExport(audit);
  addAuditVerify(audit);
}
