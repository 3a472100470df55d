import type { NatsIdentityRoute } from '../context.ts';

export const encryptionRoutes: readonly NatsIdentityRoute[] = [];
