import type { NatsIdentityRoute } from '../context.ts';
import { changeCluster } from './change-cluster.ts';
import { createCluster } from './create-cluster.ts';
import { deleteCluster } from './delete-cluster.ts';
import { forgetServer } from './forget-server.ts';
import { getCluster } from './get-cluster.ts';
import { getClusterHealth } from './get-cluster-health.ts';
import { getDiff } from './get-diff.ts';
import { listClusterAccounts } from './list-cluster-accounts.ts';
import { listClusters } from './list-clusters.ts';

import { syncNow } from './sync-now.ts';

export const clusterRoutes: readonly NatsIdentityRoute[] = [
  listClusters,
  createCluster,
  getCluster,
  changeCluster,
  deleteCluster,
  getClusterHealth,
  listClusterAccounts,
  forgetServer,
  syncNow,
  getDiff,
];
