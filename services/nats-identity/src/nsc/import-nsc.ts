import { append, Problem } from '@gatehouse/kit';
import { type NscStore, wipeSeeds } from '@gatehouse/nats-claims';
import { sql } from 'kysely';
import Type from 'typebox';
import { createAccountIn } from '../account/create-account.ts';
import { type Acting, acting, ChangeView, changeQuery, changeView, inChange, reasonBody } from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { NameText } from '../name.ts';
import { createOperator } from '../operator/create-operator.ts';
import { importUsers } from './import-users.ts';
import { IMPORT_BYTES_MAX, LeftOut, NscFileBody } from './nsc-file.ts';
import { accountSeeds, type ImportPlan, operatorSeeds, planImport } from './plan-import.ts';
import { readStore } from './store-thread.ts';

const Body = Type.Object({
  files: Type.Array(NscFileBody, { minItems: 1, maxItems: 50_000 }),
  operator: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 256,
      description: 'Name or public key of the operator, when the store holds several.',
    }),
  ),
  name: Type.Optional(NameText),
  leave_faulty: Type.Optional(
    Type.Boolean({
      description: 'Import what can be; unless true, one file that cannot be used refuses all.',
    }),
  ),
  ...reasonBody,
});

const Answer = Type.Object({
  operator: Type.Object({
    id: Type.String(),
    name: Type.String(),
    public_key: Type.String(),
    root_key: Type.Union([Type.Literal('held'), Type.Literal('offline')]),
  }),
  accounts: Type.Integer(),
  roles: Type.Integer(),
  users: Type.Integer(),
  without_seed: Type.Array(Type.String(), {
    description: 'Public keys whose private halves were not in the files, at most 1000 of them.',
  }),
  left_out: Type.Array(LeftOut),
  change: ChangeView,
});

export const importNsc = route({
  method: 'POST',
  path: '/api/nats/import/nsc',
  access: 'platform.manage',
  summary: 'Import an operator from an nsc store and its keys',
  description:
    'Takes the .jwt files of one operator, and the .nk files that belong to them; further files are ignored. JWTs stay as they are, every claim of them, until somebody changes the object. What has no .nk file comes with its public key only. Users come with an entry of what they hold in the ledger.',
  status: 201,
  body: Body,
  bodyBytesMax: IMPORT_BYTES_MAX,
  query: Type.Object(changeQuery, { additionalProperties: false }),
  answer: Answer,
  problems: ['invalid_import', 'name_taken', 'public_key_taken'],
  run: (ctx) => async (call) => {
    const { body, query } = call;
    const store = await readStore(body.files);
    try {
      const plan = await planImport(store, body);
      return await inChange(ctx, query, async (tx) => {
        await refuseKnownKeys(tx, plan);
        const operator = await take(tx, ctx, { store, plan, acting: acting(call, body.reason) });
        const counted = countsOf(plan);
        return {
          operator,
          ...counted,
          without_seed: withoutSeed(store, plan).slice(0, 1000),
          left_out: [...plan.leftOut].slice(0, 1000),
          change: changeView(query, [], { accounts: counted.accounts, users: counted.users }),
        };
      });
    } finally {
      wipeSeeds(store);
    }
  },
});

async function take(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  { store, plan, acting: by }: { store: NscStore; plan: ImportPlan; acting: Acting },
) {
  const { id, name, public_key, secret_id } = await createOperator(tx, ctx, {
    name: plan.name,
    import: { jwt: plan.operator.jwt, ...operatorSeeds(store, plan.operator) },
    acting: by,
  });
  for (const { account, name: accountName } of plan.accounts) {
    const row = await createAccountIn(tx, ctx, {
      operatorId: id,
      tenantId: null,
      name: accountName,
      import: { jwt: account.jwt, ...accountSeeds(store, account) },
      acting: by,
    });
    const { users, parts } = account;
    await importUsers(tx, ctx, { account: row, users, seeds: store.seeds, revocations: parts.revocations });
  }
  await tx
    .updateTable('account')
    // nsc may have issued what is in no file: a revocation must then last for ever.
    .set({ imported: true })
    .where('operator_id', '=', id)
    .execute();
  const { accounts, users } = countsOf(plan);
  await append(tx, {
    type: 'natsid.nsc.imported',
    tenant_id: null,
    aggregate: `operator:${id}`,
    traceparent: by.traceparent,
    data: { ...by.by, operator_id: id, accounts, users, keys: keysOf(plan).length },
  });
  return { id, name, public_key, root_key: secret_id === null ? ('offline' as const) : ('held' as const) };
}

/** Every public key that the import brings, with the file it comes from. */
const keysOf = ({ operator, accounts }: ImportPlan): { readonly key: string; readonly path: string }[] => [
  ...[operator.publicKey, ...operator.signingKeys].map((key) => ({ key, path: operator.path })),
  ...accounts.flatMap(({ account }) => [
    ...[account.publicKey, ...account.parts.keys.map(({ publicKey }) => publicKey)].map((key) => ({
      key,
      path: account.path,
    })),
    ...account.users.map(({ publicKey, path }) => ({ key: publicKey, path })),
  ]),
];

/** One key is one object: a second import of the same store changes nothing, and says why. */
async function refuseKnownKeys(tx: NatsidTransaction, plan: ImportPlan): Promise<void> {
  const keys = keysOf(plan);
  const { rows } = await sql<{ public_key: string; kind: string }>`
    with wanted as (select unnest(${keys.map(({ key }) => key)}::text[]) as public_key)
    select public_key, 'an operator' as kind from operator natural join wanted
    union all select public_key, 'a signing key of an operator' from operator_key natural join wanted
    union all select public_key, 'an account' from account natural join wanted
    union all select public_key, 'a signing key of an account' from account_key natural join wanted
    union all select public_key, 'a user' from nats_user natural join wanted
    limit 100`.execute(tx);
  if (rows.length === 0) return;
  const errors = rows.map(({ public_key, kind }) => ({
    path: keys.find(({ key }) => key === public_key)?.path ?? '',
    message: `${public_key} is ${kind} here already.`,
  }));
  throw new Problem('public_key_taken', {
    detail: 'Some of this is here already; nothing was imported. `errors` names each key.',
    members: { errors },
  });
}

function countsOf({ accounts }: ImportPlan) {
  const all = accounts.map(({ account }) => account);
  return {
    accounts: all.length,
    roles: all.flatMap(({ parts }) => parts.keys.filter(({ scope }) => scope !== null)).length,
    users: all.flatMap(({ users }) => users).length,
  };
}

const withoutSeed = ({ seeds }: NscStore, plan: ImportPlan): string[] =>
  keysOf(plan)
    .map(({ key }) => key)
    .filter((key) => !seeds.has(key));
