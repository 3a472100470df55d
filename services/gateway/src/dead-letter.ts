import { type AdminCall, administeredBy, type Call, PeerError, Problem, questions } from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import type { GatewayContext } from './context.ts';
import { askEach, silent } from './each-service.ts';

/** A dead letter as lists show it. */
export const DeadLetterItem = Type.Object({
  service: Type.String({ description: 'Whose consumer gave up on it.' }),
  ...questions.DeadLetterSummary.properties,
  discarded_at: Type.Union([Type.String(), Type.Null()]),
});
export type DeadLetterItem = Static<typeof DeadLetterItem>;

/** A dead letter with what it holds. */
export const DeadLetterView = Type.Object({
  ...DeadLetterItem.properties,
  headers: Type.Record(Type.String(), Type.String()),
  payload: Type.String({ description: 'As it came; may hold personal data.' }),
});
export type DeadLetterView = Static<typeof DeadLetterView>;

/** What a service says of a letter, as it is shown. One of a release that knows no discarding says less. */
export const ofService = <Said extends questions.DeadLetterSummary>(service: string, said: Said) => ({
  service,
  ...said,
  discarded_at: said.discarded_at ?? null,
});

/** What an envelope consists of. Anything else in the headers of a message is not ours and is not shown. */
const ofEnvelope = /^(?:ce-[a-z]+|nats-[a-z-]+|traceparent|content-type)$/i;

/** The dead letter of an id, whoever has it. @throws Problem `not_found`, `upstream_unavailable` */
export async function findDeadLetter(
  ctx: GatewayContext,
  id: string,
  trace: Call['trace'],
): Promise<DeadLetterView> {
  const { answers, unreachable } = await askEach(ctx, { trace }, (service, options) =>
    ctx.peer.ask(questions.deadLetterOf(service), { id }, options),
  );
  for (const { service, answer } of answers) {
    const { letter } = answer;
    if (letter === null) continue;
    const headers = Object.entries(letter.headers).filter(([name]) => ofEnvelope.test(name));
    return { ...ofService(service, letter), headers: Object.fromEntries(headers) };
  }
  // Whoever is silent may have it: 404 would say that nobody has.
  if (unreachable.length > 0) throw silent(unreachable);
  throw new Problem('not_found');
}

/** A consumer may take its time; the caller's own patience ends later. */
const DEADLINE_MS = 10_000;

/**
 * Has the service of a dead letter change what becomes of it, and shows it as it is then.
 * `change` asks that service, and throws the problem of whatever else it answers.
 * @throws Problem `not_found`, `upstream_unavailable`
 */
export async function changeDeadLetter(
  ctx: GatewayContext,
  call: AdminCall & { readonly id: string; readonly reason: string },
  change: (letter: DeadLetterView, asked: questions.DeadLetterChange, options: Asked) => Promise<void>,
): Promise<DeadLetterItem> {
  const { trace, reason } = call;
  const { traceparent } = trace;
  const letter = await findDeadLetter(ctx, call.id.toLowerCase(), trace);
  const asked = { id: letter.id, ...administeredBy(call, reason), traceparent };
  await change(letter, asked, { traceparent, deadlineMs: DEADLINE_MS }).catch((error: unknown) => {
    throw error instanceof PeerError ? silent([letter.service], error) : error;
  });
  const { headers: _headers, payload: _payload, ...item } = await findDeadLetter(ctx, letter.id, trace);
  return item;
}

interface Asked {
  readonly traceparent: string;
  readonly deadlineMs: number;
}
