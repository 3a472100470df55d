import type { ConsumerDefinition } from './consume.ts';
import { type DeadLetterCause, listDeadLetters, readDeadLetter, replayDeadLetter } from './dead-letter.ts';
import { discardDeadLetter } from './discard-dead-letter.ts';
import type { Handle } from './inbox.ts';
import {
  type DeadLetterChange,
  deadLetterOf,
  deadLettersOf,
  discardDeadLetterOf,
  replayDeadLetterOf,
} from './questions.ts';
import { type Answer, answersOf, type Context, type ServiceName } from './service.ts';

const answer = answersOf<Context>();

/** What every service answers of its own dead letters. */
export function deadLetterAnswers(
  service: ServiceName,
  consumers: readonly ConsumerDefinition<never>[],
): Answer<Context>[] {
  return [
    answer(deadLettersOf(service), (ctx) => async (filter) => ({
      items: await listDeadLetters(ctx.pool, filter),
    })),
    answer(deadLetterOf(service), (ctx) => async ({ id }) => ({
      letter: (await readDeadLetter(ctx.pool, id)) ?? null,
    })),
    answer(replayDeadLetterOf(service), (ctx) => {
      const handles = new Map(consumers.map(({ name, handle }) => [name, handle(ctx as never) as Handle]));
      return async ({ id, ...by }, traceparent) => {
        const cause = causeOf(by, traceparent);
        const replay = await replayDeadLetter(ctx.db, id, { service, handles, cause });
        ctx.relay.poke();
        return { outcome: replay.outcome, why: replay.outcome === 'failed' ? replay.reason : null };
      };
    }),
    answer(discardDeadLetterOf(service), (ctx) => async ({ id, ...by }, traceparent) => {
      const outcome = await discardDeadLetter(ctx.db, id, { service, cause: causeOf(by, traceparent) });
      ctx.relay.poke();
      return { outcome };
    }),
  ];
}

/** Field by field: what a newer release may send besides is no part of the event. */
const causeOf = (
  { actor_id, reason, client_ip, user_agent, ...by }: Omit<DeadLetterChange, 'id'>,
  traceparent: string,
): DeadLetterCause => ({
  ...{ actor_id, reason, client_ip, user_agent },
  traceparent: by.traceparent ?? traceparent,
});
