import { audit } from '@gatehouse/audit';
import { auth } from '@gatehouse/auth';
import { gateway } from '@gatehouse/gateway';
import type { Route, Service } from '@gatehouse/kit';
import { natsIdentity } from '@gatehouse/nats-identity';
import { token } from '@gatehouse/token';

/** Every service, in the order of docs/architecture.md. */
export const services: readonly Service[] = [gateway, auth, token, natsIdentity, audit];

/** A public route and the service that it belongs to. */
export interface RouteOfService {
  readonly service: Service['name'];
  readonly route: Route<never>;
}

/** The public routes of all services. */
export function routesOfServices(): RouteOfService[] {
  return services.flatMap(({ name, routes }) => routes.map((route) => ({ service: name, route })));
}
