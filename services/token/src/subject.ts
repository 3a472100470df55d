import { appendRevocation, type questions } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { TokenContext, TokenTransaction } from './context.ts';
import { type Cause, endSessions, tellEach, untilOf } from './revocation.ts';

type SubjectState = questions.SubjectState;
/** An entry of the revocation feed. */
export type RevocationEntry = Parameters<TokenContext['feed']['markLocally']>[0];

/** How many states were news, and what goes to this process's own feed once the transaction has committed. */
export interface Taken {
  readonly taken: number;
  readonly entries: readonly RevocationEntry[];
}

/**
 * Takes over what auth says of users, unless we know something newer. A user who is not active loses all sessions; a
 * changed role goes out on the feed, because access tokens that live carry the old one. Also when the version is the
 * one we have: whoever is told twice finishes what the first time left undone.
 *
 * Rows are locked by rising user_id, so that two batches do not deadlock, and before the sessions: a sign-in that
 * holds the same row has either committed its session, which then ends here, or will find the new state.
 */
export async function takeSubjects(
  tx: TokenTransaction,
  ctx: TokenContext,
  subjects: readonly SubjectState[],
  cause: Cause,
): Promise<Taken> {
  const sorted = subjects.toSorted((a, b) => (a.user_id < b.user_id ? -1 : 1));
  const before = await tx
    .selectFrom('subject')
    .select(['user_id', 'roles'])
    .where(
      'user_id',
      'in',
      sorted.map(({ user_id }) => user_id),
    )
    .orderBy('user_id')
    .forUpdate()
    .execute();
  const rolesBefore = new Map(before.map(({ user_id, roles }) => [user_id, roles]));
  const entries: RevocationEntry[] = [];
  let taken = 0;
  for (const subject of sorted) {
    const verdict = await takeOne(tx, subject);
    if (verdict === 'newer') taken += 1;
    if (verdict === 'older') continue;
    if (subject.status !== 'active') {
      const ended = await endSessions(tx, ctx, { of: 'user', userId: subject.user_id }, cause);
      await tellEach(tx, ended, cause);
      const until = ended[0]?.until;
      if (until !== undefined) entries.push({ sids: ended.map(({ id }) => id), until });
    }
    const known = rolesBefore.get(subject.user_id);
    if (verdict === 'newer' && known !== undefined && !sameRoles(known, subject.roles))
      entries.push(await announceRoles(tx, ctx, subject, cause.traceparent));
  }
  return { taken, entries };
}

async function takeOne(tx: TokenTransaction, subject: SubjectState): Promise<'newer' | 'same' | 'older'> {
  const { user_id, tenant_id, status, roles, version } = subject;
  const { rows } = await sql<{ version: number }>`
    insert into subject (user_id, tenant_id, status, roles, version)
    values (${user_id}, ${tenant_id}, ${status}, ${roles}, ${version})
    on conflict (user_id) do update set tenant_id = excluded.tenant_id, status = excluded.status,
      roles = excluded.roles, version = excluded.version, updated_at = now()
    where excluded.version > subject.version
    returning version`.execute(tx);
  if (rows.length > 0) return 'newer';
  const known = await tx
    .selectFrom('subject')
    .select('version')
    .where('user_id', '=', user_id)
    .executeTakeFirstOrThrow();
  return known.version === version ? 'same' : 'older';
}

async function announceRoles(
  tx: TokenTransaction,
  ctx: TokenContext,
  { user_id, roles, version }: SubjectState,
  traceparent: string | null,
): Promise<RevocationEntry> {
  const { rows } = await sql<{ until: number }>`select ${untilOf(ctx)} as until`.execute(tx);
  const until = rows[0]?.until;
  if (until === undefined) throw new Error('the database did not say the time');
  const entry = { user_id, roles, version, until };
  await appendRevocation(tx, entry, traceparent);
  return entry;
}

const sameRoles = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((role) => b.includes(role));
