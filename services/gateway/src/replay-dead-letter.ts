import { Problem, questions, Reason, reasonOf, Uuid } from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import { route } from './context.ts';
import { changeDeadLetter, DeadLetterItem, type DeadLetterView } from './dead-letter.ts';

export const replayDeadLetter = route({
  method: 'POST',
  path: '/api/admin/dead-letters/:id/replay',
  access: 'platform.manage',
  summary: 'Put a dead letter before its consumer again',
  description:
    'Once, however often it is asked for. The answer comes when the consumer has taken it; when it refuses again, the letter stays and says why. One that was discarded can be replayed too.',
  params: Type.Object({ id: Uuid }),
  body: Type.Object({ reason: Reason }),
  answer: DeadLetterItem,
  problems: [
    'reason_required',
    'not_found',
    'already_replayed',
    'unreadable',
    'replay_failed',
    'upstream_unavailable',
  ],
  run: (ctx) => async (call) => {
    const asked = { ...call, reason: reasonOf(call.body), id: call.params.id };
    return changeDeadLetter(ctx, asked, async (letter, change, options) =>
      judge(letter, await ctx.peer.ask(questions.replayDeadLetterOf(letter.service), change, options)),
    );
  },
});

type Answer = Static<ReturnType<typeof questions.replayDeadLetterOf>['answer']>;

function judge({ service, consumer }: DeadLetterView, { outcome, why }: Answer): void {
  if (outcome === 'replayed') return;
  if (outcome === 'unknown') throw new Problem('not_found');
  if (outcome === 'already_replayed') throw new Problem('already_replayed');
  if (outcome === 'failed') throw new Problem('replay_failed', { detail: why ?? 'It did not say why.' });
  throw new Problem('unreadable', {
    detail:
      outcome === 'no_consumer' ? `${service} has no consumer ${consumer}.` : 'It is not a readable event.',
  });
}
