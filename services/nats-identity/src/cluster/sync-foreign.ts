import { type AnyNewEvent, appendMany } from '@gatehouse/kit';
import { decodeJwt, JwtError } from '@gatehouse/nats-claims';
import { sql } from 'kysely';
import type { NatsIdentityBase } from '../context.ts';
import type { PushTarget } from './push.ts';
import { readStored } from './read-back.ts';
import { inWindow } from './reconciler-window.ts';
import type { NamedCluster } from './sync-due.ts';

const PAGE = 200;

/**
 * Shows accounts that servers hold and nobody here owns: another team's may share the operator. They are never touched.
 * Each is told once; one that is gone is forgotten.
 */
export async function recordForeign(
  ctx: NatsIdentityBase,
  cluster: NamedCluster,
  target: PushTarget,
  foreign: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const { rows: known } = await sql<{ public_key: string }>`
    with gone as (
      delete from foreign_account
      where cluster_id = ${cluster.id} and public_key <> all(${[...foreign.keys()]}::text[]))
    update foreign_account set seen_at = now()
    where cluster_id = ${cluster.id} and public_key = any(${[...foreign.keys()]}::text[])
    returning public_key`.execute(ctx.db);
  const seen = new Set(known.map(({ public_key }) => public_key));
  const unseen = [...foreign].filter(([key]) => !seen.has(key));
  for (let begin = 0; begin < unseen.length; begin += PAGE)
    await recordPage(ctx, cluster, target, unseen.slice(begin, begin + PAGE));
}

async function recordPage(
  ctx: NatsIdentityBase,
  cluster: NamedCluster,
  target: PushTarget,
  accounts: readonly (readonly [string, readonly string[]])[],
): Promise<void> {
  const rows: { key: string; issuer: string | null; name: string | null; servers: readonly string[] }[] = [];
  await inWindow(accounts, 32, async ([key, servers]) => {
    const { jwts } = await readStored(target.client, key, target.presence.stores);
    rows.push({ key, servers, ...aboutOf(jwts.find((jwt) => jwt.length > 0)) });
  });
  await ctx.db.transaction().execute(async (tx) => {
    await sql`
      insert into foreign_account (cluster_id, public_key, issuer, name, servers)
      select ${cluster.id}, key, issuer, name, array(select jsonb_array_elements_text(servers))
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        as f(key text, issuer text, name text, servers jsonb)
      on conflict (cluster_id, public_key) do update set seen_at = now()`.execute(tx);
    await appendMany(
      tx,
      rows.map(
        ({ key, issuer, servers }): AnyNewEvent => ({
          type: 'natsid.cluster.foreign_account',
          tenant_id: null,
          aggregate: `cluster:${cluster.id}`,
          traceparent: null,
          data: {
            cluster_id: cluster.id,
            cluster: cluster.name,
            account_key: key,
            issuer,
            servers: [...servers],
          },
        }),
      ),
    );
  });
}

function aboutOf(jwt: Buffer | undefined): { issuer: string | null; name: string | null } {
  try {
    const { iss, name } = decodeJwt(jwt?.toString('latin1') ?? '');
    // A stranger chose the name.
    return { issuer: iss, name: name?.replace(/\p{C}/gu, '?').slice(0, 256) ?? null };
  } catch (error) {
    if (error instanceof JwtError) return { issuer: null, name: null };
    throw error;
  }
}
