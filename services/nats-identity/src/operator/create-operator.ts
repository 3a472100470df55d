import { append, newId, Problem } from '@gatehouse/kit';
import { OperatorClaims, systemAccountExports, validateOperatorClaims } from '@gatehouse/nats-claims';
import type { JsonObject, OperatorTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type from 'typebox';
import { createAccountIn } from '../account/create-account.ts';
import {
  type Acting,
  acting,
  ChangeView,
  changeQuery,
  changeView,
  diffOf,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { checkedClaims, LooseClaims } from '../claim-check.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { NameText } from '../name.ts';
import { keepSeed, makeKey } from '../secret.ts';
import { type OperatorImport, readOperatorImport } from './operator-import.ts';
import { namedKeys, operatorOwnFields, reissueOperator } from './operator-jwt.ts';
import { OperatorView, operatorView } from './operator-view.ts';

/** What an operator is made of. */
export interface NewOperator {
  readonly name: string;
  /** Of one that is made here; an imported one has those of its JWT. */
  readonly claims?: JsonObject;
  readonly openToTenants?: boolean;
  /** Of the platform's own bus; there is at most one. */
  readonly own?: boolean;
  /** Its accounts, the system account among them, are brought by `createAccountIn` afterwards. */
  readonly import?: OperatorImport;
  readonly acting: Acting;
}

/**
 * Makes an operator with a root key, an active signing key and a system account; or takes one that exists elsewhere, with
 * its JWT unchanged.
 * @throws Problem `invalid_claims`, `invalid_import`
 */
export async function createOperator(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  wanted: NewOperator,
): Promise<Selectable<OperatorTable>> {
  const operator = wanted.import
    ? await takeOperator(tx, ctx, wanted, wanted.import)
    : await makeOperator(tx, ctx, wanted);
  const { id, name, public_key } = operator;
  await append(tx, {
    type: 'natsid.operator.created',
    tenant_id: null,
    aggregate: `operator:${id}`,
    traceparent: wanted.acting.traceparent,
    data: {
      ...wanted.acting.by,
      id,
      name,
      public_key,
      root_key: operator.secret_id === null ? 'offline' : 'held',
    },
  });
  return operator;
}

async function makeOperator(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  wanted: NewOperator,
): Promise<Selectable<OperatorTable>> {
  const claims = checkedOperatorClaims({}, { strict_signing_key_usage: true, ...wanted.claims });
  const root = await makeKey(tx, ctx, 'operator', 'operator');
  const signing = await makeKey(tx, ctx, 'operator_signing', 'operator');
  const id = newId();
  await insertOperator(tx, wanted, {
    id,
    public_key: root.key.publicKey,
    secret_id: root.secretId,
    claims,
    jwt: '',
    jwt_iat: 0,
    // The first JWT makes it 1.
    revision: 0,
  });
  await tx
    .insertInto('operator_key')
    .values({
      id: newId(),
      operator_id: id,
      public_key: signing.key.publicKey,
      secret_id: signing.secretId,
      state: 'active',
    })
    .execute();
  await createAccountIn(tx, ctx, {
    operatorId: id,
    tenantId: null,
    name: 'SYS',
    kind: 'system',
    claims: { exports: [...systemAccountExports] },
    acting: wanted.acting,
  });
  return reissueOperator(tx, ctx, id);
}

async function takeOperator(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  wanted: NewOperator,
  from: OperatorImport,
): Promise<Selectable<OperatorTable>> {
  const { decoded, root, signing } = readOperatorImport(from);
  const { signing_keys: _, type: __, version: ___, ...claims } = decoded.nats;
  const operator = await insertOperator(tx, wanted, {
    id: newId(),
    public_key: decoded.sub,
    secret_id: root === undefined ? null : await keepSeed(tx, ctx, 'operator', root),
    claims,
    jwt: from.jwt.trim(),
    jwt_iat: decoded.iat,
  });
  for (const [index, publicKey] of namedKeys(decoded.nats).entries()) {
    const key = signing.get(publicKey);
    await tx
      .insertInto('operator_key')
      .values({
        id: newId(),
        operator_id: operator.id,
        public_key: publicKey,
        secret_id: key === undefined ? null : await keepSeed(tx, ctx, 'operator_signing', key),
        // Servers run with this JWT: they trust what it names.
        state: 'active',
        created_at: sql<Date>`now() + ${index} * interval '1 microsecond'`,
      })
      .execute();
  }
  return operator;
}

interface OperatorRow {
  readonly id: string;
  readonly public_key: string;
  readonly secret_id: string | null;
  readonly claims: JsonObject;
  readonly jwt: string;
  readonly jwt_iat: number;
  readonly revision?: number;
}

const insertOperator = (tx: NatsidTransaction, wanted: NewOperator, row: OperatorRow) =>
  tx
    .insertInto('operator')
    .values({
      ...row,
      name: wanted.name.normalize('NFC'),
      system_account_id: null,
      open_to_tenants: wanted.openToTenants ?? false,
      own: wanted.own ?? false,
    })
    .returningAll()
    .executeTakeFirstOrThrow();

/** An operator's claims, when servers would take them. @throws Problem `invalid_claims` */
export const checkedOperatorClaims = (before: JsonObject, after: JsonObject): JsonObject =>
  checkedClaims({
    schema: OperatorClaims,
    before: withoutOwnFields(before),
    after,
    rules: (claims) => validateOperatorClaims(claims),
  });

// What the database keeps elsewhere is nobody's to set here, except what an import left (its system account).
const withoutOwnFields = (claims: JsonObject): JsonObject =>
  Object.fromEntries(
    Object.entries(claims).filter(([key]) => key === 'system_account' || !operatorOwnFields.has(key)),
  );

const Body = Type.Object({
  name: NameText,
  claims: Type.Optional(LooseClaims),
  open_to_tenants: Type.Optional(Type.Boolean()),
  import: Type.Optional(
    Type.Object(
      {
        jwt: Type.String({ minLength: 1, maxLength: 262_144 }),
        root_seed: Type.Optional(
          Type.String({ maxLength: 128, description: 'Without it the root key stays offline.' }),
        ),
        signing_seeds: Type.Optional(Type.Array(Type.String({ maxLength: 128 }), { maxItems: 64 })),
      },
      { additionalProperties: false, description: 'One that exists elsewhere; its JWT stays as it is.' },
    ),
  ),
  ...reasonBody,
});

export const createOperatorRoute = route({
  method: 'POST',
  path: '/api/nats/operators',
  access: 'platform.manage',
  summary: 'Make an operator, or import one',
  description:
    'Makes a root key, a signing key and a system account SYS; accounts and users count only when signed by signing keys, unless `strict_signing_key_usage` is false. With `import` an operator that exists is taken with its JWT unchanged; without its root seed the root key stays offline.',
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  bodyBytesMax: 512 * 1024,
  status: 201,
  answer: Type.Object({ ...OperatorView.properties, change: ChangeView }),
  problems: ['invalid_claims', 'invalid_import', 'name_taken', 'public_key_taken'],
  run: (ctx) => async (call) => {
    const { body, query } = call;
    const { import: from } = body;
    if (from !== undefined && body.claims !== undefined)
      throw new Problem('invalid_request', {
        detail: 'An imported operator has the claims of its JWT: send claims or import.',
      });
    const answer = await inChange(ctx, query, async (tx) => {
      const operator = await createOperator(tx, ctx, {
        name: body.name,
        ...(body.claims && { claims: body.claims }),
        openToTenants: body.open_to_tenants ?? false,
        ...(from && {
          import: {
            jwt: from.jwt,
            ...(from.root_seed !== undefined && { rootSeed: from.root_seed }),
            ...(from.signing_seeds && { signingSeeds: from.signing_seeds }),
          },
        }),
        acting: acting(call, body.reason),
      });
      return {
        ...(await operatorView(tx, operator, { dryRun: query.dry_run === 'true' })),
        change: changeView(query, diffOf({}, operator.claims), { accounts: from ? 0 : 1 }),
      };
    });
    showRevision(call, answer.revision);
    return answer;
  },
});
