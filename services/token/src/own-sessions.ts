import type { Call, Principal } from '@gatehouse/kit';
import type { Cause } from './revocation.ts';

/** A signed-in person's own act as the cause of a revocation. */
export function causeOf(
  {
    principal,
    client,
    trace,
  }: Pick<Call<unknown, unknown, unknown, Principal>, 'principal' | 'client' | 'trace'>,
  reason: string,
): Cause {
  return {
    reason,
    actorId: principal.userId,
    clientIp: client.ip,
    userAgent: client.userAgent,
    traceparent: trace.traceparent,
  };
}
