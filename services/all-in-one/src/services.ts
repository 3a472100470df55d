import { audit } from '@gatehouse/audit';
import { auth } from '@gatehouse/auth';
import { gateway } from '@gatehouse/gateway';
import type { Service } from '@gatehouse/kit';
import { natsIdentity } from '@gatehouse/nats-identity';
import { token } from '@gatehouse/token';

/** The whole platform; the gateway first, because its hooks must be there before the routes. */
export const services: readonly Service[] = [gateway, auth, token, natsIdentity, audit];
