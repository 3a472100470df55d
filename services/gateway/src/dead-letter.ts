import { type Call, Problem, questions } from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import type { GatewayContext } from './context.ts';
import { askEach, silent } from './each-service.ts';

/** A dead letter as lists show it. */
export const DeadLetterItem = Type.Object({
  service: Type.String({ description: 'Whose consumer gave up on it.' }),
  ...questions.DeadLetterSummary.properties,
});

/** A dead letter with what it holds. */
export const DeadLetterView = Type.Object({
  ...DeadLetterItem.properties,
  headers: Type.Record(Type.String(), Type.String()),
  payload: Type.String({ description: 'As it came; may hold personal data.' }),
});

/** What an envelope consists of. Anything else in the headers of a message is not ours and is not shown. */
const ofEnvelope = /^(?:ce-[a-z]+|nats-[a-z-]+|traceparent|content-type)$/i;

/** The dead letter of an id, whoever has it. @throws Problem `not_found`, `upstream_unavailable` */
export async function findDeadLetter(
  ctx: GatewayContext,
  id: string,
  trace: Call['trace'],
): Promise<Static<typeof DeadLetterView>> {
  const { answers, unreachable } = await askEach(ctx, { trace }, (service, options) =>
    ctx.peer.ask(questions.deadLetterOf(service), { id }, options),
  );
  for (const { service, answer } of answers) {
    const { letter } = answer;
    if (letter === null) continue;
    const headers = Object.entries(letter.headers).filter(([name]) => ofEnvelope.test(name));
    return { service, ...letter, headers: Object.fromEntries(headers) };
  }
  // Whoever is silent may have it: 404 would say that nobody has.
  if (unreachable.length > 0) throw silent(unreachable);
  throw new Problem('not_found');
}
