import { Problem, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import {
  acting,
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  diffOf,
  inChange,
  reasonQuery,
} from '../change.ts';
import { route } from '../context.ts';
import { readAllowance } from './allowance.ts';
import { AllowanceView, allowanceView, selectAllowances } from './allowance-view.ts';
import { tellAllowance } from './put-allowance.ts';

export const deleteAllowance = route({
  method: 'DELETE',
  path: '/api/nats/allowances/:tenant_id/:operator_id',
  access: 'platform.manage',
  summary: 'Take an allowance back',
  description:
    'The tenant’s accounts stay as they are; its administrators can make and change none any more.',
  params: Type.Object({ tenant_id: Uuid, operator_id: Uuid }),
  query: Type.Object({ ...changeQuery, ...reasonQuery }, { additionalProperties: false }),
  answer: Type.Object({ ...AllowanceView.properties, change: ChangeView }),
  problems: ['not_found', 'precondition_failed'],
  run: (ctx) => async (call) =>
    inChange(ctx, call.query, async (tx) => {
      const tenantId = call.params.tenant_id.toLowerCase();
      const operatorId = call.params.operator_id.toLowerCase();
      const before = await readAllowance(tx, tenantId, operatorId, { lock: true });
      if (before === undefined) throw new Problem('not_found');
      checkRevision(call, before.revision);
      const row = await selectAllowances(tx)
        .where('w.tenant_id', '=', tenantId)
        .where('w.operator_id', '=', operatorId)
        .executeTakeFirstOrThrow();
      await tx
        .deleteFrom('allowance')
        .where('tenant_id', '=', tenantId)
        .where('operator_id', '=', operatorId)
        .execute();
      await tellAllowance(tx, acting(call, call.query.reason), before, { before, after: null });
      const { accounts_max, limits_max } = before;
      return {
        ...allowanceView(row),
        change: changeView(call.query, diffOf({ accounts_max, limits_max }, {})),
      };
    }),
});
