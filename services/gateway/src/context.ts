import { type ConfigOf, type Context, type RateLimitStore, routesOf } from '@gatehouse/kit';
import type { GatewayDatabase } from '@gatehouse/schema';
import type { LimitEvents } from './limit-events.ts';
import type { gatewaySettings } from './settings.ts';

/** What the gateway's files have at hand besides the kit's. */
export interface GatewayOwn {
  readonly limitStore: RateLimitStore;
  readonly limitEvents: LimitEvents;
}

/** What the kit hands the gateway before it has added its own. */
export type GatewayBase = Context<ConfigOf<typeof gatewaySettings>, GatewayDatabase>;

/** The context of the gateway. */
export type GatewayContext = GatewayBase & GatewayOwn;

export const route = routesOf<GatewayContext>();
