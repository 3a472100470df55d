import { append, Problem, Uuid } from '@gatehouse/kit';
import { AccountLimits, type ClaimFault } from '@gatehouse/nats-claims';
import type { JsonObject } from '@gatehouse/schema';
import { sql } from 'kysely';
import Type, { type Static } from 'typebox';
import {
  type Acting,
  acting,
  type ChangeCall,
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  diffOf,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { checkedClaims, LooseClaims } from '../claim-check.ts';
import { type NatsidTransaction, route } from '../context.ts';
import { type Allowance, readAllowance } from './allowance.ts';
import { AllowanceView, allowanceView, selectAllowances } from './allowance-view.ts';

const Body = Type.Object({
  accounts_max: Type.Integer({ minimum: 0, maximum: 1_000_000 }),
  limits_max: Type.Optional(LooseClaims),
  ...reasonBody,
});

export const putAllowance = route({
  method: 'PUT',
  path: '/api/nats/allowances/:tenant_id/:operator_id',
  access: 'platform.manage',
  summary: 'Set what a tenant may have under an operator',
  description:
    '`limits_max` holds account limits: the most that each account of the tenant may have. A field that it lacks, or has as -1, is not bounded, except JetStream storage: without a word about it there is none. Accounts that have more already keep it; their administrators can only bring it down.',
  params: Type.Object({ tenant_id: Uuid, operator_id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  answer: Type.Object({ ...AllowanceView.properties, change: ChangeView }),
  problems: ['invalid_claims', 'not_found', 'conflict', 'precondition_failed'],
  run: (ctx) => async (call) => {
    const answer = await inChange(ctx, call.query, (tx) => put(tx, call));
    showRevision(call, answer.revision);
    return answer;
  },
});

type PutCall = ChangeCall & {
  readonly body: Static<typeof Body>;
  readonly query: { readonly dry_run?: 'true' | 'false' };
  readonly params: { readonly tenant_id: string; readonly operator_id: string };
};

async function put(tx: NatsidTransaction, call: PutCall) {
  const { body, query } = call;
  const [tenantId, operatorId] = [call.params.tenant_id.toLowerCase(), call.params.operator_id.toLowerCase()];
  const operator = await tx
    .selectFrom('operator')
    .select('id')
    .where('id', '=', operatorId)
    .forShare()
    .executeTakeFirst();
  if (operator === undefined) throw new Problem('not_found');
  const before = await readAllowance(tx, tenantId, operatorId, { lock: true });
  if (before !== undefined) checkRevision(call, before.revision);
  else if (call.request.headers['if-match'] !== undefined) throw new Problem('precondition_failed');
  const limits_max = limitsOf(body.limits_max ?? {});
  const after = { accounts_max: body.accounts_max, limits_max };
  const diff = diffOf(before === undefined ? {} : said(before), after);
  if (diff.length > 0) {
    await tx
      .insertInto('allowance')
      .values({ tenant_id: tenantId, operator_id: operatorId, ...after })
      .onConflict((conflict) =>
        conflict.columns(['tenant_id', 'operator_id']).doUpdateSet({
          ...after,
          revision: sql<number>`allowance.revision + 1`,
          updated_at: sql<Date>`now()`,
        }),
      )
      .execute();
    const of = { tenant_id: tenantId, operator_id: operatorId };
    await tellAllowance(tx, acting(call, body.reason), of, { before, after });
  }
  const row = await selectAllowances(tx)
    .where('w.tenant_id', '=', tenantId)
    .where('w.operator_id', '=', operatorId)
    .executeTakeFirstOrThrow();
  return { ...allowanceView(row), change: changeView(query, diff) };
}

const storage = ['mem_storage', 'disk_storage', 'tiered_limits'] as const;
/** Of these servers take 0 for unlimited: as a bound it would say the opposite of what it looks like. */
const unlimitedAtZero = new Set([
  'streams',
  'consumer',
  'max_ack_pending',
  'mem_max_stream_bytes',
  'disk_max_stream_bytes',
]);

function limitsOf(given: JsonObject): JsonObject {
  const whole = storage.some((key) => given[key] !== undefined)
    ? given
    : { ...given, mem_storage: 0, disk_storage: 0 };
  return checkedClaims({ schema: AccountLimits, before: {}, after: whole, rules: zeroFaults });
}

function zeroFaults(limits: JsonObject, at = ''): ClaimFault[] {
  const tiers = Object.entries((limits.tiered_limits ?? {}) as Record<string, JsonObject>);
  return [
    ...Object.entries(limits)
      .filter(([key, value]) => unlimitedAtZero.has(key) && value === 0)
      .map(([key]) => ({
        path: `${at}${key}`,
        message: '0 is unlimited to servers: say -1, or a number from 1 up.',
      })),
    ...tiers.flatMap(([tier, of]) => zeroFaults(of, `tiered_limits.${tier}.`)),
  ];
}

const said = ({ accounts_max, limits_max }: Pick<Allowance, 'accounts_max' | 'limits_max'>) => ({
  accounts_max,
  limits_max,
});

/** Tells of a changed allowance; `after` null: it is gone. */
export async function tellAllowance(
  tx: NatsidTransaction,
  { by, traceparent }: Acting,
  of: { readonly tenant_id: string; readonly operator_id: string },
  states: { readonly before: Allowance | undefined; readonly after: JsonObject | null },
): Promise<void> {
  const { before, after } = states;
  await append(tx, {
    type: 'natsid.allowance.changed',
    tenant_id: of.tenant_id,
    aggregate: `allowance:${of.tenant_id}:${of.operator_id}`,
    traceparent,
    data: {
      ...by,
      operator_id: of.operator_id,
      before: before === undefined ? null : said(before),
      after,
    },
  });
}
