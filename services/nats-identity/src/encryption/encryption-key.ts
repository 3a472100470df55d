import { PeerError, questions } from '@gatehouse/kit';
import type { EncryptionKeyState, EncryptionKeyTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';

export type EncryptionKey = Selectable<EncryptionKeyTable>;

/** A process that has not been heard of for so long does not count any more, seconds. */
export const LIVE_SECONDS = 30;

/** Who caused a change of keys, as `natsid.encryption.*` events say it; all null for the platform itself. */
export interface KeyCause {
  readonly by: {
    readonly actor_id: string | null;
    readonly reason: string | null;
    readonly client_ip: string | null;
    readonly user_agent: string | null;
  };
  readonly traceparent: string | null;
}

/** The platform acts by itself. */
export const byItself = (reason: string): KeyCause => ({
  by: { actor_id: null, reason, client_ip: null, user_agent: null },
  traceparent: null,
});

/** One change of the ring's states at a time, of any process. Released with the transaction. */
export async function lockEncryption(tx: NatsidTransaction): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('gatehouse.natsid.encryption', 0))`.execute(tx);
}

/** Keys that nobody has any more, as ENCRYPTION_LOST_KEYS says; those that are here after all are not lost. */
export const lostKeys = ({ config, secrets }: NatsIdentityContext): string[] =>
  config.ENCRYPTION_LOST_KEYS.filter((id) => !secrets.keyring.holds(id));

/** A process that holds the ring and lives. */
export interface Instance {
  readonly instance_id: string;
  readonly service: string;
  readonly key_ids: string[];
  readonly wanted_key_id: string;
  readonly started_at: Date;
  readonly seen_at: Date;
}

/** The processes that live, the youngest first. */
export function liveInstances(db: Pick<NatsidTransaction, 'selectFrom'>): Promise<Instance[]> {
  return db
    .selectFrom('encryption_instance')
    .select(['instance_id', 'service', 'key_ids', 'wanted_key_id', 'started_at', 'seen_at'])
    .where('seen_at', '>', sql<Date>`now() - ${LIVE_SECONDS}::int4 * interval '1 second'`)
    .orderBy('started_at', 'desc')
    .orderBy('instance_id')
    .execute();
}

/** Which of them lack a key. */
export const lacking = (instances: readonly Instance[], keyId: string): Instance[] =>
  instances.filter(({ key_ids }) => !key_ids.includes(keyId));

/** What a caller and a log are told of a process. */
export const instanceName = ({ instance_id, service }: Instance) => ({ instance_id, service });

/** All keys that were ever announced. */
export function knownKeys(db: Pick<NatsidTransaction, 'selectFrom'>): Promise<EncryptionKey[]> {
  return db.selectFrom('encryption_key').selectAll().orderBy('created_at').orderBy('id').execute();
}

/** How many of our own records need each key. */
export async function ownRecords(
  db: Pick<NatsidTransaction, 'selectFrom'>,
): Promise<Readonly<Record<string, number>>> {
  const rows = await db
    .selectFrom('secret')
    .select(['key_id', sql<number>`count(*)::int4`.as('records')])
    .groupBy('key_id')
    .execute();
  return Object.fromEntries(rows.map(({ key_id, records }) => [key_id, records]));
}

/** Per service, how many of its records need each key; null: it does not answer. */
export type Census = Readonly<Record<string, Readonly<Record<string, number>> | null>>;

/** Counts the records of every service. */
export async function takeCensus(ctx: NatsIdentityContext, traceparent?: string): Promise<Census> {
  const others = questions.sealingServices.map(async (service) => {
    try {
      const { keys } = await ctx.peer.ask(questions.sealedRecords(service), {}, { traceparent });
      return [service, keys] as const;
    } catch (error) {
      if (error instanceof PeerError) return [service, null] as const;
      throw error;
    }
  });
  const own = ownRecords(ctx.db).then((keys) => ['nats-identity', keys] as const);
  return Object.fromEntries(await Promise.all([own, ...others]));
}

/** What a census says of one key. */
export function recordsOf(census: Census, keyId: string) {
  const by_service = Object.fromEntries(
    Object.entries(census).map(([service, keys]) => [service, keys === null ? null : (keys[keyId] ?? 0)]),
  );
  const counts = Object.values(by_service);
  return {
    by_service,
    records: counts.reduce<number>((sum, count) => sum + (count ?? 0), 0),
    /** Whether every service has answered: only then does zero mean none. */
    complete: !counts.includes(null),
  };
}

/** Moves a key on, if it still stands where it stood; says whether it did. Its time of `to` is now. */
export async function moveKey(
  tx: NatsidTransaction,
  { id, state }: Pick<EncryptionKey, 'id' | 'state'>,
  to: Exclude<EncryptionKeyState, 'staged'>,
): Promise<boolean> {
  const moved = await tx
    .updateTable('encryption_key')
    .set({ state: to, [`${to}_at`]: sql<Date>`now()` })
    .where('id', '=', id)
    .where('state', '=', state)
    .executeTakeFirst();
  return moved.numUpdatedRows > 0n;
}
