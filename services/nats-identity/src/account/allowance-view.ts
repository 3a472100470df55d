import { Time } from '@gatehouse/kit';
import type { NatsidDatabase } from '@gatehouse/schema';
import { type Kysely, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { ShownClaims } from '../claim-check.ts';

/** An allowance as answers show it. */
export const AllowanceView = Type.Object({
  tenant_id: Type.String(),
  operator_id: Type.String(),
  accounts_max: Type.Integer(),
  accounts: Type.Integer({ description: 'Accounts that count against it now.' }),
  limits_max: ShownClaims,
  revision: Type.Integer(),
  updated_at: Time,
});

/** What views are made of, with the accounts in use. */
export const selectAllowances = (db: Kysely<NatsidDatabase>) =>
  db
    .selectFrom('allowance as w')
    .selectAll('w')
    .select((eb) =>
      eb
        .selectFrom('account as a')
        .whereRef('a.tenant_id', '=', 'w.tenant_id')
        .whereRef('a.operator_id', '=', 'w.operator_id')
        .where('a.state', '<>', 'deleted')
        .select(sql<number>`count(*)`.as('count'))
        .as('accounts'),
    );

type Row = Awaited<ReturnType<ReturnType<typeof selectAllowances>['executeTakeFirstOrThrow']>>;

/** Shows an allowance. */
export const allowanceView = (row: Row): Static<typeof AllowanceView> => ({
  tenant_id: row.tenant_id,
  operator_id: row.operator_id,
  accounts_max: row.accounts_max,
  accounts: row.accounts ?? 0,
  limits_max: { ...row.limits_max },
  revision: row.revision,
  updated_at: row.updated_at.toISOString(),
});
