import { Time } from '@gatehouse/kit';
import type { NatsidDatabase, OperatorKeyTable, OperatorTable } from '@gatehouse/schema';
import type { Kysely, Selectable } from 'kysely';
import Type, { type Static } from 'typebox';
import { ShownClaims } from '../claim-check.ts';

const SigningKeyView = Type.Object({
  public_key: Type.String(),
  state: Type.Union([Type.Literal('pending'), Type.Literal('active'), Type.Literal('retiring')], {
    description:
      'pending: some server does not trust it yet, it does not sign; active: signs; retiring: what it signed is being signed anew.',
  }),
  held: Type.Boolean({ description: 'Whether its seed is kept here.' }),
  created_at: Time,
});

/** An operator as answers show it. */
export const OperatorView = Type.Object({
  id: Type.String(),
  name: Type.String(),
  public_key: Type.String(),
  root_key: Type.Union([Type.Literal('held'), Type.Literal('offline')]),
  claims: ShownClaims,
  signing_keys: Type.Array(SigningKeyView),
  system_account_id: Type.Union([Type.String(), Type.Null()]),
  open_to_tenants: Type.Boolean(),
  own: Type.Boolean({ description: 'The operator of the platform’s own bus.' }),
  jwt: Type.String({ description: 'Empty in the answer to a dry run.' }),
  revision: Type.Integer(),
  created_at: Time,
  updated_at: Time,
});
export type OperatorView = Static<typeof OperatorView>;

type Key = Selectable<OperatorKeyTable>;

/** Reads the signing keys of operators, and shows each operator with its own. */
export async function operatorViews(
  db: Kysely<NatsidDatabase>,
  operators: readonly Selectable<OperatorTable>[],
): Promise<OperatorView[]> {
  if (operators.length === 0) return [];
  const keys = await db
    .selectFrom('operator_key')
    .selectAll()
    .where(
      'operator_id',
      'in',
      operators.map(({ id }) => id),
    )
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  return operators.map((operator) =>
    view(
      operator,
      keys.filter(({ operator_id }) => operator_id === operator.id),
    ),
  );
}

/** One operator with its signing keys. */
export async function operatorView(
  db: Kysely<NatsidDatabase>,
  operator: Selectable<OperatorTable>,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<OperatorView> {
  const [shown] = await operatorViews(db, [operator]);
  if (shown === undefined) throw new Error('an operator without a view');
  // Nothing signed leaves that is not kept.
  return dryRun ? { ...shown, jwt: '' } : shown;
}

const view = (operator: Selectable<OperatorTable>, keys: readonly Key[]): OperatorView => ({
  id: operator.id,
  name: operator.name,
  public_key: operator.public_key,
  root_key: operator.secret_id === null ? 'offline' : 'held',
  claims: { ...operator.claims },
  signing_keys: keys.map(({ public_key, state, secret_id, created_at }) => ({
    public_key,
    state,
    held: secret_id !== null,
    created_at: created_at.toISOString(),
  })),
  system_account_id: operator.system_account_id,
  open_to_tenants: operator.open_to_tenants,
  own: operator.own,
  jwt: operator.jwt,
  revision: operator.revision,
  created_at: operator.created_at.toISOString(),
  updated_at: operator.updated_at.toISOString(),
});
