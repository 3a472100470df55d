import type { NatsIdentityContext } from '../context.ts';
import { adoptBus } from './adopt.ts';
import { followBusAddress } from './bus-address.ts';
import { widenBusRoles } from './widen-roles.ts';

/** What every start does about the platform's own bus, before clusters are looked after. */
export async function takeOverBus(ctx: NatsIdentityContext): Promise<void> {
  await adoptBus(ctx);
  await followBusAddress(ctx);
  await widenBusRoles(ctx);
}
