import { may, type Principal, Problem } from '@gatehouse/kit';

/**
 * The tenant whose events a question is about: an administrator's own, whatever is asked; any or all (undefined) for
 * a platform administrator. @throws Problem `unknown_tenant` for a tenant one may not know of.
 */
export function visibleTenant(principal: Principal, asked: string | undefined): string | undefined {
  const tenant = asked?.toLowerCase();
  if (may(principal, 'tenants.all')) return tenant;
  const own = principal.tenantId.toLowerCase();
  if (tenant !== undefined && tenant !== own) throw new Problem('unknown_tenant');
  return own;
}
