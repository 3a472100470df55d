import type { NatsIdentityRoute } from '../context.ts';

export const operatorRoutes: readonly NatsIdentityRoute[] = [];
