import { type Check, counted, ok, skipped, warning } from './check.ts';
import type { Database } from './database.ts';

/** How the platform last saw a cluster. */
export interface SeenCluster {
  readonly name: string;
  readonly healthy: boolean;
  /** Why it is not healthy, in words. */
  readonly causes: readonly string[];
  /** What will need somebody, and does not yet. */
  readonly warnings: readonly string[];
  /** Accounts whose newest JWT could not be proven on its servers. */
  readonly unproven?: number;
}

const NAME = 'clusters';

/** The NATS clusters that Gatehouse keeps, from the database. */
export async function examineClusters(database: Database): Promise<readonly Check[]> {
  const { rows: allowed } = await database.query<{ may: boolean }>(
    `select coalesce(bool_and(has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')), false)
       as may
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'natsid' and c.relname in ('cluster', 'account_sync')`,
  );
  if (allowed[0]?.may !== true) return [skipped(NAME, 'this login may not read them')];
  const { rows } = await database.query<{
    name: string;
    healthy: boolean;
    causes: unknown;
    warnings: unknown;
    unproven: number;
  }>(
    `select c.name, c.healthy, c.health->'causes' as causes, c.health->'warnings' as warnings,
       (select count(*) from natsid.account_sync s where s.cluster_id = c.id and s.proven < s.wanted
          and s.attempts > 0)::int as unproven
     from natsid.cluster c order by c.name`,
  );
  return [
    judgeClusters(
      rows.map(({ causes, warnings, ...row }) => ({
        ...row,
        causes: texts(causes),
        warnings: texts(warnings),
      })),
    ),
  ];
}

/** A list of texts out of JSON. */
export const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

/** One finding for all of them. */
export function judgeClusters(clusters: readonly SeenCluster[]): Check {
  const unwell = clusters.filter(
    ({ healthy, warnings, unproven = 0 }) => !healthy || warnings.length > 0 || unproven > 0,
  );
  if (clusters.length === 0) return ok(NAME, 'none are registered');
  if (unwell.length === 0) return ok(NAME, `${counted(clusters.length, 'cluster')}, all healthy`);
  return warning(NAME, `${unwell.length} of ${counted(clusters.length, 'cluster')} not well`, {
    details: unwell.flatMap(({ name, causes, warnings, unproven = 0 }) => [
      ...[...causes, ...warnings].map((cause) => `${name}: ${cause}`),
      ...(unproven > 0 ? [`${name}: ${counted(unproven, 'account')} not proven on every server`] : []),
    ]),
    remedy: `gatehouse cluster health ${unwell[0]?.name}`,
  });
}
