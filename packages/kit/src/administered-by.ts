import type { Principal } from './principal.ts';
import type { Call } from './route.ts';

/** The call of an administrator, whoever the body is of. */
export type AdminCall = Pick<Call, 'client' | 'trace'> & { readonly principal: Principal };

/** What the event of an administrator's change says of whoever made it, and why. */
export const administeredBy = (
  { principal, client }: Pick<AdminCall, 'principal' | 'client'>,
  reason: string,
) => ({ actor_id: principal.userId, reason, client_ip: client.ip, user_agent: client.userAgent });
