import {
  type Call,
  PeerError,
  type Principal,
  Problem,
  questions,
  Reason,
  reasonOf,
  Uuid,
} from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import { type GatewayContext, route } from './context.ts';
import { DeadLetterItem, type DeadLetterView, findDeadLetter } from './dead-letter.ts';
import { silent } from './each-service.ts';

/** A consumer may take its time; the caller's own patience ends later. */
const DEADLINE_MS = 10_000;

export const replayDeadLetter = route({
  method: 'POST',
  path: '/api/admin/dead-letters/:id/replay',
  access: 'platform.manage',
  summary: 'Put a dead letter before its consumer again',
  description:
    'Once, however often it is asked for. The answer comes when the consumer has taken it; when it refuses again, the letter stays and says why.',
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
    const reason = reasonOf(call.body);
    const letter = await findDeadLetter(ctx, call.params.id.toLowerCase(), call.trace);
    await replay(ctx, letter, { ...call, reason });
    const {
      headers: _headers,
      payload: _payload,
      ...item
    } = await findDeadLetter(ctx, letter.id, call.trace);
    return item;
  },
});

type Asked = Pick<Call<unknown, unknown, unknown, Principal>, 'principal' | 'client' | 'trace'> & {
  readonly reason: string;
};

async function replay(
  ctx: GatewayContext,
  { service, id, consumer }: Static<typeof DeadLetterView>,
  { principal, client, trace, reason }: Asked,
): Promise<void> {
  const { traceparent } = trace;
  const { outcome, why } = await ctx.peer
    .ask(
      questions.replayDeadLetterOf(service),
      {
        ...{ id, reason, actor_id: principal.userId },
        ...{ client_ip: client.ip, user_agent: client.userAgent, traceparent },
      },
      { traceparent, deadlineMs: DEADLINE_MS },
    )
    .catch((error: unknown) => {
      throw error instanceof PeerError ? silent([service], error) : error;
    });
  if (outcome === 'replayed') return;
  if (outcome === 'unknown') throw new Problem('not_found');
  if (outcome === 'already_replayed') throw new Problem('already_replayed');
  if (outcome === 'failed') throw new Problem('replay_failed', { detail: why ?? 'It did not say why.' });
  throw new Problem('unreadable', {
    detail:
      outcome === 'no_consumer' ? `${service} has no consumer ${consumer}.` : 'It is not a readable event.',
  });
}
