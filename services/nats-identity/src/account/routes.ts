import type { NatsIdentityRoute } from '../context.ts';

export const accountRoutes: readonly NatsIdentityRoute[] = [];
