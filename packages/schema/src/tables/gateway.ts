import type { KitDatabase } from './kit.ts';

/** What the gateway owns: Postgres schema `gateway`, with nothing in it but its outbox, inbox and dead letters. */
export type GatewayDatabase = KitDatabase;
