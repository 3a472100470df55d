import type { NatsIdentityRoute } from '../context.ts';
import { addOperatorKey } from './add-signing-key.ts';
import { changeOperator } from './change-operator.ts';
import { createOperatorRoute } from './create-operator.ts';
import { deleteOperator } from './delete-operator.ts';
import { listOperators } from './list-operators.ts';
import { putOperatorJwt } from './put-operator-jwt.ts';
import { removeOperatorKey } from './remove-signing-key.ts';
import { resignOperatorAccounts } from './resign-accounts.ts';
import { showOperator } from './show-operator.ts';

export const operatorRoutes: readonly NatsIdentityRoute[] = [
  listOperators,
  createOperatorRoute,
  showOperator,
  changeOperator,
  deleteOperator,
  putOperatorJwt,
  addOperatorKey,
  removeOperatorKey,
  resignOperatorAccounts,
];
