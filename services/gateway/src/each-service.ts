import { type Call, type PeerError, type Problem, retryLater, serviceNames } from '@gatehouse/kit';
import Type from 'typebox';
import type { GatewayContext } from './context.ts';

/** The name of a service, as a filter. */
export const ServiceFilter = Type.Union(
  serviceNames.map((name) => Type.Literal(name)),
  { description: 'Only of this service.' },
);

/** Services that did not answer: what is theirs is missing from the rest, and said so. */
export const Unreachable = Type.Array(Type.String(), {
  description: 'Services that did not answer; what they have is missing here.',
});

/** What the services said, and which of them said nothing. */
export interface Heard<T> {
  readonly answers: readonly { readonly service: string; readonly answer: T }[];
  readonly unreachable: readonly string[];
}

/** Whom to ask, for whose request. */
interface Asked {
  /** Only this one. */
  readonly only?: string | undefined;
  readonly trace: Call['trace'];
}

/** Asks every service, or the one named, at the same time. */
export async function askEach<T>(
  ctx: Pick<GatewayContext, 'peer' | 'log'>,
  { only, trace }: Asked,
  ask: (service: string, options: { readonly traceparent: string }) => Promise<T>,
): Promise<Heard<T>> {
  const services = only === undefined ? ctx.peer.services : [only];
  const unreachable: string[] = [];
  const answers = await Promise.all(
    services.map(async (service) => {
      try {
        return [{ service, answer: await ask(service, { traceparent: trace.traceparent }) }];
      } catch (err) {
        ctx.log.warn(
          { err, upstream: service, trace_id: trace.traceId },
          'a service did not answer the gateway',
        );
        unreachable.push(service);
        return [];
      }
    }),
  );
  return { answers: answers.flat(), unreachable: unreachable.toSorted() };
}

/** The problem of services that did not answer. */
export function silent(services: readonly string[], cause?: PeerError): Problem {
  return retryLater('upstream_unavailable', 1, { detail: `${services.join(', ')} ${whatOf(cause)}.` });
}

function whatOf(cause: PeerError | undefined): string {
  if (cause?.status === undefined) return 'did not answer';
  // Its other answers are 200: what it has not got yet is the question.
  if (cause.status === NOT_FOUND)
    return 'runs an older release that cannot do this yet, and nothing was changed: upgrade it, then ask again';
  return `answered ${cause.status}`;
}

const NOT_FOUND = 404;
