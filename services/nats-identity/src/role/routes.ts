import type { NatsIdentityRoute } from '../context.ts';

export const roleRoutes: readonly NatsIdentityRoute[] = [];
