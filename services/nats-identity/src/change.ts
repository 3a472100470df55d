import { type Call, EVENT_LANE, type Principal, Problem } from '@gatehouse/kit';
import { type ClaimChange, diffClaims } from '@gatehouse/nats-claims';
import Type, { type Static } from 'typebox';
import type { NatsIdentityContext, NatsidTransaction } from './context.ts';

/** The call of somebody signed in, as changes need it. */
export type ChangeCall = Pick<Call, 'client' | 'trace' | 'request' | 'reply'> & {
  readonly principal: Principal;
};

/** `?dry_run=true`: everything is done and checked, shown, and undone. */
export const changeQuery = {
  dry_run: Type.Optional(
    Type.Union([Type.Literal('true'), Type.Literal('false')], {
      description: 'true: show what would change and whom it would reach, and change nothing.',
    }),
  ),
};
/** What a change without a body (DELETE) may also carry. */
export const reasonQuery = {
  reason: Type.Optional(Type.String({ maxLength: 500, description: 'Why; kept in the audit.' })),
};
/** Of every body that changes something. */
export const reasonBody = {
  reason: Type.Optional(Type.String({ maxLength: 500, description: 'Why; kept in the audit.' })),
};

/** What a change did, or would do: part of every answer to one. */
export const ChangeView = Type.Object({
  dry_run: Type.Boolean(),
  diff: Type.Array(Type.Object({ path: Type.String(), before: Type.Unknown(), after: Type.Unknown() }), {
    description: 'Claims that differ, by their path in the `nats` section of the JWT.',
  }),
  affected: Type.Object({
    accounts: Type.Integer({ description: 'Accounts that get a new JWT.' }),
    users: Type.Integer({ description: 'Users whose rights or credentials change.' }),
    disconnects: Type.Boolean({ description: 'Whether their live connections are closed.' }),
    clusters: Type.Integer({ description: 'Clusters that get something new.' }),
  }),
});
export type ChangeView = Static<typeof ChangeView>;

/** The `change` member of an answer. */
export function changeView(
  query: { readonly dry_run?: string },
  diff: readonly ClaimChange[] = [],
  affected: Partial<ChangeView['affected']> = {},
): ChangeView {
  return {
    dry_run: query.dry_run === 'true',
    diff: [...diff],
    affected: { accounts: 0, users: 0, disconnects: false, clusters: 0, ...affected },
  };
}

/** What a `natsid.*` event says of whoever made the change. */
export const actedBy = (call: ChangeCall, reason: string | undefined) => ({
  actor_id: call.principal.userId,
  reason: reason?.trim() || null,
  client_ip: call.client.ip,
  user_agent: call.client.userAgent,
});

/** On whose behalf a change is made, as its events say it. */
export interface Acting {
  readonly by: {
    readonly actor_id: string | null;
    readonly reason: string | null;
    readonly client_ip: string | null;
    readonly user_agent: string | null;
  };
  readonly traceparent: string | null;
}

/** A change that somebody asked for. */
export const acting = (call: ChangeCall, reason: string | undefined): Acting => ({
  by: actedBy(call, reason),
  traceparent: call.trace.traceparent,
});

/** A change that the platform makes by itself. */
export const platformActs: Acting = {
  by: { actor_id: null, reason: null, client_ip: null, user_agent: null },
  traceparent: null,
};

class RolledBack extends Error {}

/**
 * Runs one change in a transaction. A dry run runs it whole and rolls it back, so that it meets the same rules, limits
 * and conflicts as the change itself. `work` returns outcomes; a throw of it rolls back too.
 * @throws Problem `name_taken`, `public_key_taken`, `conflict` for what the database's constraints refuse
 */
export async function inChange<T>(
  ctx: NatsIdentityContext,
  query: { readonly dry_run?: string },
  work: (tx: NatsidTransaction) => Promise<T>,
): Promise<T> {
  const dryRun = query.dry_run === 'true';
  let outcome: { value: T } | undefined;
  try {
    await ctx.db.transaction().execute(async (tx) => {
      outcome = { value: await work(tx) };
      if (dryRun) throw new RolledBack();
    });
  } catch (error) {
    if (!(error instanceof RolledBack)) throw refusedByConstraint(error) ?? error;
  }
  if (!dryRun) {
    ctx.relay.poke(EVENT_LANE);
    ctx.reconciler.poke();
  }
  if (outcome === undefined) throw new Error('a change ended without an outcome');
  return outcome.value;
}

/** The problem that a violated constraint stands for; undefined for any other error. */
function refusedByConstraint(error: unknown): Problem | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  if (code === '23505') {
    const name = String(constraint);
    if (name.endsWith('_name') || name === 'account_key_role') return new Problem('name_taken');
    return new Problem(name.includes('public_key') ? 'public_key_taken' : 'conflict');
  }
  return code === '23503' ? new Problem('conflict') : undefined;
}

/** The ETag of an object at a revision (RFC 9110 §8.8.3). */
export const etagOf = (revision: number): string => `"${revision}"`;

/** Sets the answer's ETag. */
export function showRevision(call: Pick<Call, 'reply'>, revision: number): void {
  call.reply.header('etag', etagOf(revision));
}

/**
 * Refuses a lost update: `If-Match`, when given, must name the revision that is there (RFC 9110 §13.1.1). Call it with
 * the row locked.
 * @throws Problem `precondition_failed`
 */
export function checkRevision(call: Pick<Call, 'request'>, revision: number): void {
  const wanted = call.request.headers['if-match'];
  if (wanted === undefined || wanted.trim() === '*') return;
  const tags = wanted.split(',').map((tag) => tag.trim());
  if (!tags.includes(etagOf(revision))) throw new Problem('precondition_failed');
}

/** JSON merge patch (RFC 7396): null removes, objects merge, anything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value);
  }
  return merged;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The differences of two claims as answers show them. */
export const diffOf = diffClaims;

/** Bounds of an event's `changes`: 5,000 exports in one must still pass the bus. */
const TOLD_CHANGES_MAX = 200;
const TOLD_VALUE_CHARS_MAX = 1_000;
const jwtText = /eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/g;

/** The differences of two claims as events tell them: no token in them, and never more than a message may hold. */
export function toldChanges(diff: readonly ClaimChange[]): ClaimChange[] {
  const told = diff.slice(0, TOLD_CHANGES_MAX).map(({ path, before, after }) => ({
    path: path.slice(0, TOLD_VALUE_CHARS_MAX),
    before: toldValue(before),
    after: toldValue(after),
  }));
  const left = diff.length - told.length;
  return left > 0 ? [...told, { path: '', before: null, after: `and ${left} more` }] : told;
}

function toldValue(value: unknown): unknown {
  const text = JSON.stringify(value) ?? 'null';
  const safe = text.replace(jwtText, '(token)');
  if (safe.length > TOLD_VALUE_CHARS_MAX) return `(${safe.length} characters)`;
  return safe === text ? value : JSON.parse(safe);
}
