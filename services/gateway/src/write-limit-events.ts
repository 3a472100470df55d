import { type AnyNewEvent, addressKey, appendMany } from '@gatehouse/kit';
import type { GatewayBase } from './context.ts';
import type { LimitEvent } from './limit-events.ts';

/** Puts the events into the gateway's outbox; a refusal belongs to no tenant, nobody has signed in. */
export async function writeLimitEvents(
  { db, relay }: Pick<GatewayBase, 'db' | 'relay'>,
  events: readonly LimitEvent[],
): Promise<void> {
  await db.transaction().execute((tx) => appendMany(tx, events.map(eventOf)));
  relay.poke();
}

function eventOf(one: LimitEvent): AnyNewEvent {
  if (one.kind === 'store')
    return {
      type: 'security.rate_limit_store',
      tenant_id: null,
      aggregate: 'rate-limit-store',
      traceparent: null,
      data: { state: one.state },
    };
  const { scope, limit, count, ip, userAgent, traceparent } = one;
  return {
    type: 'security.rate_limited',
    tenant_id: null,
    aggregate: `rate-limit:${scope}:${ip === null ? 'others' : addressKey(ip)}`,
    traceparent,
    data: { user_id: null, client_ip: ip, user_agent: userAgent, scope, limit, count },
  };
}
