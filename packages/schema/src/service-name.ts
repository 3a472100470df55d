import type { AuditDatabase } from './tables/audit.ts';
import type { AuthDatabase } from './tables/auth.ts';
import type { GatewayDatabase } from './tables/gateway.ts';
import type { NatsidDatabase } from './tables/natsid.ts';
import type { TokenDatabase } from './tables/token.ts';

/** The Postgres schemas: each belongs to the service of its name; `natsid` to nats-identity. */
export const schemaNames = ['auth', 'token', 'audit', 'gateway', 'natsid'] as const;
export type SchemaName = (typeof schemaNames)[number];

/** The database role that a service works under. It can touch its own schema and nothing else. */
export const roleOf = (service: SchemaName): `gatehouse_${SchemaName}` => `gatehouse_${service}`;

/** Tables by service: `Kysely<Databases['token']>`. */
export interface Databases {
  auth: AuthDatabase;
  token: TokenDatabase;
  audit: AuditDatabase;
  gateway: GatewayDatabase;
  natsid: NatsidDatabase;
}
