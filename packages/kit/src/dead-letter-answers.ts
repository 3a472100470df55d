import type { ConsumerDefinition } from './consume.ts';
import { listDeadLetters, readDeadLetter, replayDeadLetter } from './dead-letter.ts';
import type { Handle } from './inbox.ts';
import { deadLetterOf, deadLettersOf, replayDeadLetterOf } from './questions.ts';
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
      return async ({ id, reason, ...by }, traceparent) => {
        const { actor_id: actorId, client_ip: clientIp, user_agent: userAgent } = by;
        const cause = { reason, actorId, clientIp, userAgent, traceparent: by.traceparent ?? traceparent };
        const replay = await replayDeadLetter(ctx.db, id, { service, handles, cause });
        ctx.relay.poke();
        return { outcome: replay.outcome, why: replay.outcome === 'failed' ? replay.reason : null };
      };
    }),
  ];
}
