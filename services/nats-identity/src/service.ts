import { defineService } from '@gatehouse/kit';
import type { NatsidDatabase } from '@gatehouse/schema';
import { accountRoutes } from './account/routes.ts';
import { takeOverBus } from './bus/take-over.ts';
import { clustersComponent } from './cluster/clusters-component.ts';
import { clusterJobs } from './cluster/jobs.ts';
import { createReconciler } from './cluster/reconciler.ts';
import { clusterRoutes } from './cluster/routes.ts';
import { watchLastSeen } from './cluster/watch-last-seen.ts';
import type { NatsIdentityParts } from './context.ts';
import { announceKeys } from './encryption/announce-keys.ts';
import { encryptionHealth } from './encryption/health.ts';
import { encryptionJobs } from './encryption/jobs.ts';
import { leaveEncryption, prepareEncryption } from './encryption/prepare.ts';
import { encryptionRoutes } from './encryption/routes.ts';
import { nscRoutes } from './nsc/routes.ts';
import { operatorJobs } from './operator/jobs.ts';
import { operatorRoutes } from './operator/routes.ts';
import { revocationRoutes } from './revocation/routes.ts';
import { roleRoutes } from './role/routes.ts';
import { natsIdentitySettings, settingFaults } from './settings.ts';
import { userJobs } from './user/jobs.ts';
import { userRoutes } from './user/routes.ts';

/** NATS operators, accounts, users, roles and clusters, kept true on every server. */
export const natsIdentity = defineService<typeof natsIdentitySettings, NatsidDatabase, NatsIdentityParts>({
  name: 'nats-identity',
  settings: natsIdentitySettings,
  check: settingFaults,
  routes: [
    ...operatorRoutes,
    ...accountRoutes,
    ...roleRoutes,
    ...userRoutes,
    ...revocationRoutes,
    ...clusterRoutes,
    ...encryptionRoutes,
    ...nscRoutes,
  ],
  answers: [announceKeys],
  jobs: [...operatorJobs, ...userJobs, ...clusterJobs, ...encryptionJobs],
  open: async (ctx) => {
    const reconciler = createReconciler(ctx);
    return { reconciler, lastSeen: watchLastSeen(ctx, reconciler) };
  },
  health: async (ctx) => [await encryptionHealth(ctx), await clustersComponent(ctx)],
  prepare: prepareEncryption,
  start: async (ctx) => {
    await takeOverBus(ctx);
    ctx.reconciler.start();
    ctx.lastSeen.start();
  },
  close: async (ctx) => {
    await ctx.lastSeen.stop();
    await ctx.reconciler.stop();
    await leaveEncryption(ctx);
  },
});
