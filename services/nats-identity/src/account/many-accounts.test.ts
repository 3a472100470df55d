import { connect, type NatsidDatabase } from '@gatehouse/schema';
import type { Kysely } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Calls, callsOf, freshName } from '../call-testing.ts';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';
import { type AccountFilters, pageOfAccounts } from './list-accounts.ts';

const ACCOUNTS = 10_000;
let nats: TestNatsIdentity;
let root: Calls;
let db: Kysely<NatsidDatabase>;
let closeDb: () => Promise<void>;
let operatorId: string;
const tenantId = crypto.randomUUID();

beforeAll(async () => {
  nats = await startNatsIdentity();
  root = callsOf(nats, nats.root);
  operatorId = (await root.post('/operators', { name: freshName('op') })).body.id;
  await nats.platform.database.query(
    `insert into natsid.account
       (id, operator_id, tenant_id, name, public_key, claims, jwt, jwt_iat, jwt_sha256, issuer_key, created_at)
     select gen_random_uuid(), $1::uuid, case when n % 10 = 0 then $2::uuid end, 'many-' || n, 'A' || md5(n::text),
       '{}', repeat('x', 900), 1, ''::bytea, 'O', now() - n * interval '1 second'
     from generate_series(1, ${ACCOUNTS}) n`,
    [operatorId, tenantId],
  );
  await nats.platform.database.query('analyze natsid.account');
  const opened = connect<NatsidDatabase>({
    url: nats.platform.database.url,
    service: 'natsid',
    poolMax: 1,
    applicationName: 'test',
    onPoolError: () => {},
  });
  db = opened.db;
  closeDb = () => opened.close();
});
afterAll(async () => {
  await closeDb?.();
  await nats?.close();
});

interface Plan {
  readonly 'Node Type': string;
  readonly 'Actual Rows': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly Plan[];
}
const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];

async function rowsRead(filters: AccountFilters, after?: readonly [string, string]): Promise<number> {
  const query = pageOfAccounts(db, filters, { limit: 50, after }).compile();
  const { rows } = await db.executeQuery<{ 'QUERY PLAN': readonly { Plan: Plan }[] }>({
    ...query,
    sql: `explain (analyze, format json) ${query.sql}`,
  });
  const plan = rows[0]?.['QUERY PLAN'][0]?.Plan;
  if (plan === undefined) throw new Error('no plan');
  const nodes = nodesOf(plan);
  expect(nodes.map((node) => node['Node Type'])).not.toContain('Sort');
  return Math.max(...nodes.map((node) => node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)));
}

describe('with 10,000 accounts', () => {
  it('a page reads little more than it shows, wherever it begins', async () => {
    const deep = ['2000-01-01T00:00:00Z', operatorId] as const;
    const { rows } = await db.executeQuery<{ at: string; id: string }>(
      db
        .selectFrom('account')
        .select((eb) => [eb.cast<string>('created_at', 'text').as('at'), 'id'])
        .where('operator_id', '=', operatorId)
        .orderBy('created_at', 'desc')
        .offset(9_000)
        .limit(1)
        .compile(),
    );
    const middle = [rows[0]?.at ?? '', rows[0]?.id ?? ''] as const;
    for (const filters of [{}, { operatorId }, { own: tenantId }, { tenantId }])
      for (const after of [undefined, middle, deep]) expect(await rowsRead(filters, after)).toBeLessThan(120);
  });

  it('all are listed, page by page, each once', async () => {
    const seen = new Set<string>();
    let cursor = '';
    do {
      const { body } = await root.get(`/accounts?operator_id=${operatorId}&limit=200${cursor}`);
      for (const { id } of body.items) seen.add(id);
      cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`;
    } while (cursor !== '');
    // And the system account.
    expect(seen.size).toBe(ACCOUNTS + 1);
  });
});
