import { route } from './context.ts';
import { readTenant, TenantParams, TenantView } from './tenant-view.ts';

export const showTenant = route({
  method: 'GET',
  path: '/api/admin/tenants/:id',
  access: 'tenants.manage',
  summary: 'One tenant',
  params: TenantParams,
  answer: TenantView,
  problems: ['not_found'],
  run:
    (ctx) =>
    ({ params }) =>
      readTenant(ctx, params.id.toLowerCase()),
});
