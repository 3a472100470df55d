import { Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from './context.ts';
import { DeadLetterView, findDeadLetter } from './dead-letter.ts';

export const showDeadLetter = route({
  method: 'GET',
  path: '/api/admin/dead-letters/:id',
  access: 'platform.read',
  summary: 'One dead letter with its headers and payload',
  params: Type.Object({ id: Uuid }),
  answer: DeadLetterView,
  problems: ['not_found', 'upstream_unavailable'],
  run:
    (ctx) =>
    ({ params, trace }) =>
      findDeadLetter(ctx, params.id.toLowerCase(), trace),
});
