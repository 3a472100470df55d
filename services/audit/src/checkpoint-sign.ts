import { GrowingTree, type Head, headEntry, signCheckpoint } from '@gatehouse/audit-chain';
import { append } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import { sql, type Transaction } from 'kysely';
import type { CheckpointContext } from './context.ts';
import { PLATFORM_CHAIN } from './trail-row.ts';

type Tx = Transaction<AuditDatabase>;
type SigningContext = Pick<CheckpointContext, 'db' | 'relay' | 'checkpointKey'>;

/** What became of an attempt. `quiet`: nothing happened but the checkpoint before. `busy`: another instance is at it. */
export type Signing = 'signed' | 'quiet' | 'busy';

/**
 * Notes the heads of all chains that went on, signs the log of heads, and tells of it, in one transaction. All heads are
 * read by one statement: a state that was committed as a whole, whoever appends meanwhile.
 */
export async function signNext(ctx: SigningContext): Promise<Signing> {
  const outcome = await ctx.db.transaction().execute((tx) => signIn(tx, ctx));
  if (outcome === 'signed') ctx.relay.poke();
  return outcome;
}

async function signIn(tx: Tx, { checkpointKey: { signer } }: SigningContext): Promise<Signing> {
  if (!(await lockLog(tx))) return 'busy';
  const { heads, events } = await newHeads(tx);
  if (heads.length === 0 || (await onlyOurOwn(tx, heads))) return 'quiet';
  const last = await tx
    .selectFrom('checkpoint')
    .select(['size', 'roots'])
    .orderBy('size', 'desc')
    .limit(1)
    .executeTakeFirst();
  const tree = new GrowingTree(last);
  const first = tree.size;
  for (const head of heads) tree.append(headEntry(head));
  const root = tree.root();
  const now = await databaseTime(tx);
  const note = signCheckpoint(
    { origin: signer.name, size: tree.size, root, time: Math.floor(now.getTime() / 1000) },
    signer,
  );
  await keepHeads(tx, heads, first);
  const { roots } = tree.state;
  await tx
    .insertInto('checkpoint')
    .values({ size: tree.size, roots: [...roots], root, events, note, signed_at: now })
    .execute();
  await append(tx, {
    type: 'audit.checkpoint.signed',
    tenant_id: null,
    aggregate: 'audit:checkpoint',
    traceparent: null,
    data: { origin: signer.name, size: tree.size, root: root.toString('base64'), events, note },
  });
  return 'signed';
}

// Besides the lock, the primary keys of head and checkpoint stand against a second writer.
async function lockLog(tx: Tx): Promise<boolean> {
  const { rows } = await sql<{ held: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended('gatehouse audit.checkpoint', 0)) as held`.execute(tx);
  return rows[0]?.held === true;
}

async function newHeads(tx: Tx): Promise<{ heads: readonly Head[]; events: number }> {
  const { rows } = await sql<Head & { noted: number; events: number }>`
    select c.chain, c.sequence, c.hash, (select sum(sequence) from chain)::bigint as events
    from chain c left join lateral (
      select h.sequence from head h where h.chain = c.chain order by h.sequence desc limit 1) noted on true
    where c.sequence > coalesce(noted.sequence, 0)
    order by c.chain collate "C"`.execute(tx);
  return { heads: rows, events: rows[0]?.events ?? 0 };
}

/** Signing is itself an event: an installation where nothing else happens would sign for ever. */
async function onlyOurOwn(tx: Tx, heads: readonly Head[]): Promise<boolean> {
  const [only, ...others] = heads;
  if (only?.chain !== PLATFORM_CHAIN || others.length > 0) return false;
  const { rows } = await sql`
    select 1 from event
    where chain = ${PLATFORM_CHAIN} and sequence <= ${only.sequence}
      and sequence > (select coalesce(max(sequence), 0) from head where chain = ${PLATFORM_CHAIN})
      and type <> 'audit.checkpoint.signed'
    limit 1`.execute(tx);
  return rows.length === 0;
}

async function databaseTime(tx: Tx): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select now()::timestamptz(3) as now`.execute(tx);
  return rows[0]?.now ?? new Date();
}

async function keepHeads(tx: Tx, heads: readonly Head[], first: number): Promise<void> {
  await sql`
    insert into head (index, chain, sequence, hash)
    select ${first}::bigint + place - 1, chain, sequence, hash
    from unnest(${heads.map(({ chain }) => chain)}::text[], ${heads.map(({ sequence }) => sequence)}::bigint[],
      ${heads.map(({ hash }) => hash)}::bytea[]) with ordinality as h(chain, sequence, hash, place)`.execute(
    tx,
  );
}
