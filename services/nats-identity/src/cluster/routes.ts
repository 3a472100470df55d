import type { NatsIdentityRoute } from '../context.ts';

export const clusterRoutes: readonly NatsIdentityRoute[] = [];
