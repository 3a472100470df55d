import type { NatsIdentityRoute } from '../context.ts';

export const userRoutes: readonly NatsIdentityRoute[] = [];
