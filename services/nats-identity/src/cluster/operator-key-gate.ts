import { append, EVENT_LANE } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { namedIn } from '../operator/retire-keys.ts';

/**
 * Lets pending operator keys sign, once every known server of every cluster of their operator has shown an operator JWT
 * that lists them. A server reads that JWT when it starts, and only then: what is signed earlier is taken with code 200
 * and then fails (nats-protocol, fact 6). A server that does not answer keeps the gate shut.
 */
export async function activateKeys(ctx: NatsIdentityContext): Promise<void> {
  const waiting = await ctx.db
    .selectFrom('operator_key')
    .select('operator_id')
    .where('state', '=', 'pending')
    .groupBy('operator_id')
    .execute();
  for (const { operator_id } of waiting) {
    const opened = await ctx.db.transaction().execute((tx) => openGate(tx, operator_id));
    if (opened > 0) {
      ctx.relay.poke(EVENT_LANE);
      ctx.reconciler.poke();
    }
  }
}

async function openGate(tx: NatsidTransaction, operatorId: string): Promise<number> {
  const operator = await tx
    .selectFrom('operator')
    .select(['id', 'name', 'public_key', 'jwt'])
    .where('id', '=', operatorId)
    .forUpdate()
    .executeTakeFirst();
  if (operator === undefined) return 0;
  // With an offline root key it is not in the JWT before somebody brings one that names it.
  const named = namedIn(operator.jwt);
  if (named.length === 0) return 0;
  const opened = await tx
    .updateTable('operator_key as k')
    .set({ state: 'active' })
    .where('k.operator_id', '=', operatorId)
    .where('k.state', '=', 'pending')
    .where('k.public_key', 'in', named)
    .where(sql<boolean>`not exists (
      select from cluster c where c.operator_id = k.operator_id and (
        not exists (select from cluster_server s where s.cluster_id = c.id)
        or exists (
          select from cluster_server s where s.cluster_id = c.id
          and (s.state = 'unreachable' or not coalesce(s.health -> 'issuers' ? k.public_key, false))
        )
      )
    )`)
    .returning('k.public_key')
    .execute();
  for (const { public_key: key } of opened)
    await append(tx, {
      type: 'natsid.operator.key_activated',
      tenant_id: null,
      aggregate: `operator:${operator.id}`,
      traceparent: null,
      data: {
        actor_id: null,
        reason: 'every known server trusts it',
        client_ip: null,
        user_agent: null,
        id: operator.id,
        name: operator.name,
        public_key: operator.public_key,
        key,
      },
    });
  return opened.length;
}
