import type { NatsIdentityRoute } from '../context.ts';
import { addAccountKey } from './add-signing-key.ts';
import { changeAccount } from './change-account.ts';
import { deleteAccount } from './delete-account.ts';
import { deleteAllowance } from './delete-allowance.ts';
import { issueActivation } from './issue-activation.ts';
import { listAccounts } from './list-accounts.ts';
import { listAllowances } from './list-allowances.ts';
import { makeAccount } from './make-account.ts';
import { putAllowance } from './put-allowance.ts';
import { removeAccountKey } from './remove-signing-key.ts';
import { restoreAccount } from './restore-account.ts';
import { showAccount } from './show-account.ts';

export const accountRoutes: readonly NatsIdentityRoute[] = [
  listAccounts,
  makeAccount,
  showAccount,
  changeAccount,
  deleteAccount,
  restoreAccount,
  addAccountKey,
  removeAccountKey,
  issueActivation,
  listAllowances,
  putAllowance,
  deleteAllowance,
];
