import { Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { showRevision } from '../change.ts';
import { route } from '../context.ts';
import { OperatorView, operatorView } from './operator-view.ts';
import { readOperator } from './visible-operator.ts';

export const showOperator = route({
  method: 'GET',
  path: '/api/nats/operators/:id',
  access: 'nats.read',
  summary: 'One operator',
  params: Type.Object({ id: Uuid }),
  answer: OperatorView,
  problems: ['not_found'],
  run: (ctx) => async (call) => {
    const operator = await readOperator(ctx, call.principal, call.params.id);
    showRevision(call, operator.revision);
    return operatorView(ctx.db, operator);
  },
});
