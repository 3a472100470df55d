import { Problem, questions, Reason, reasonOf, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from './context.ts';
import { changeDeadLetter, DeadLetterItem } from './dead-letter.ts';

export const discardDeadLetter = route({
  method: 'POST',
  path: '/api/admin/dead-letters/:id/discard',
  access: 'platform.manage',
  summary: 'Give a dead letter up that no consumer can take',
  description:
    'Once, however often it is asked for. It no longer waits; it is kept with its payload for DEAD_LETTER_DAYS, and until then it can be replayed all the same.',
  params: Type.Object({ id: Uuid }),
  body: Type.Object({ reason: Reason }),
  answer: DeadLetterItem,
  problems: ['reason_required', 'not_found', 'already_discarded', 'already_replayed', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const asked = { ...call, reason: reasonOf(call.body), id: call.params.id };
    return changeDeadLetter(ctx, asked, async ({ service }, change, options) => {
      const { outcome } = await ctx.peer.ask(questions.discardDeadLetterOf(service), change, options);
      if (outcome === 'discarded') return;
      throw new Problem(outcome === 'unknown' ? 'not_found' : outcome);
    });
  },
});
