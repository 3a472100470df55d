import { append, Problem, Uuid } from '@gatehouse/kit';
import type { NscExport } from '@gatehouse/nats-claims';
import type { AccountTable, OperatorTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type from 'typebox';
import { actedBy, type ChangeCall, inChange, reasonBody } from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { openSeed, type SealedRow } from '../secret.ts';
import { createIssuer } from '../user/issue.ts';
import { type ExportedUser, exportUsers } from './export-users.ts';
import { LeftOut, NscFileView } from './nsc-file.ts';
import { forEach, writeStore } from './store-thread.ts';

export const exportNsc = route({
  method: 'POST',
  path: '/api/nats/operators/:id/export/nsc',
  access: 'platform.manage',
  summary: 'Export an operator as an nsc store, with its private keys when asked',
  description:
    'Operator and accounts come with the JWTs that servers have. A user’s JWT is issued for the export, entered in the ledger, and lives as long as any that is issued to it now. `seeds` brings every private key, and creds of the users: whoever has the answer is the operator. Of the platform’s own bus there are none.',
  params: Type.Object({ id: Uuid }),
  body: Type.Object({
    seeds: Type.Boolean({ description: 'true: the private keys too.' }),
    ...reasonBody,
  }),
  answer: Type.Object({
    files: Type.Array(NscFileView),
    left_out: Type.Array(LeftOut, { description: 'What is not in the files, and why.' }),
  }),
  problems: ['not_found', 'conflict'],
  run: (ctx) => {
    const issuer = createIssuer(ctx);
    return async (call) => {
      const { params, body } = call;
      const { seeds, reason } = body;
      return inChange(ctx, {}, async (tx) => {
        const operator = await tx
          .selectFrom('operator')
          .selectAll()
          .where('id', '=', params.id.toLowerCase())
          .executeTakeFirst();
        if (operator === undefined) throw new Problem('not_found');
        if (operator.own && seeds) throw new Problem('forbidden', { detail: keptHere });
        const accounts = await lockAccounts(tx, operator);
        const { users, leftOut } = await exportUsers(tx, operator.id, { issuer, call, reason, seeds });
        const files = await filesOf(tx, ctx, { operator, accounts, users, seeds });
        await tell(tx, call, { operator, accounts: accounts.length, users: users.length, seeds, reason });
        return { files, left_out: leftOut.slice(0, 1000) };
      });
    };
  },
});

/** Whoever has them can be any service, and the system account (attack 16). */
const keptHere =
  'The private keys of the platform’s own bus never leave it: export it without them, or another operator.';

type Account = Pick<Selectable<AccountTable>, 'id' | 'name' | 'public_key' | 'jwt'>;
type Operator = Selectable<OperatorTable>;

/** Nobody changes them meanwhile, so that accounts and users fit each other; credentials are issued all the same. */
const lockAccounts = (tx: NatsidTransaction, operator: Operator): Promise<Account[]> =>
  tx
    .selectFrom('account')
    .select(['id', 'name', 'public_key', 'jwt'])
    .where('operator_id', '=', operator.id)
    .where('state', 'in', ['active', 'locked'])
    .orderBy('id')
    .forNoKeyUpdate()
    .execute();

interface ToWrite {
  readonly operator: Operator;
  readonly accounts: readonly Account[];
  readonly users: readonly ExportedUser[];
  readonly seeds: boolean;
}

async function filesOf(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  { operator, accounts, users, seeds }: ToWrite,
) {
  const byAccount = Map.groupBy(users, ({ accountId }) => accountId);
  const store: NscExport = {
    operator: { name: operator.name, publicKey: operator.public_key, jwt: operator.jwt },
    accounts: accounts.map(({ id, name, public_key, jwt }) => ({
      name,
      publicKey: public_key,
      jwt,
      users: byAccount.get(id) ?? [],
    })),
  };
  if (!seeds) return writeStore(store);
  const opened: Buffer[] = [];
  try {
    await forEach(await sealedOf(tx, operator.id), (row) => opened.push(openSeed(ctx, row).seed()));
    return await writeStore({ ...store, seeds: opened });
  } finally {
    for (const seed of opened) seed.fill(0);
  }
}

/** Every seed of an operator as it lies sealed. */
async function sealedOf(tx: NatsidTransaction, operatorId: string): Promise<SealedRow[]> {
  const { rows } = await sql<SealedRow>`
    with living as (select id, secret_id from account where operator_id = ${operatorId} and state in ('active', 'locked')),
    wanted as (
      select secret_id from operator where id = ${operatorId}
      union all select secret_id from operator_key where operator_id = ${operatorId}
      union all select secret_id from living
      union all select k.secret_id from account_key k join living a on a.id = k.account_id
      union all select u.secret_id from nats_user u join living a on a.id = u.account_id
    )
    select s.id, s.kind, s.public_key, s.sealed from secret s join wanted w on w.secret_id = s.id`.execute(
    tx,
  );
  return rows;
}

interface Told {
  readonly operator: Operator;
  readonly accounts: number;
  readonly users: number;
  readonly seeds: boolean;
  readonly reason: string | undefined;
}

const tell = (tx: NatsidTransaction, call: ChangeCall, { operator, reason, ...counts }: Told) =>
  append(tx, {
    type: 'natsid.nsc.exported',
    tenant_id: null,
    aggregate: `operator:${operator.id}`,
    traceparent: call.trace.traceparent,
    data: { ...actedBy(call, reason), operator_id: operator.id, ...counts },
  });
