import type { NatsIdentityRoute } from '../context.ts';

export const nscRoutes: readonly NatsIdentityRoute[] = [];
