import { Problem, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { operatorSigner } from '../account-jwt.ts';
import { reasonBody } from '../change.ts';
import { type NatsIdentityContext, route } from '../context.ts';
import { resignAccounts } from './retire-keys.ts';

/** Accounts of one request. */
const AT_ONCE = 500;

export const resignOperatorAccounts = route({
  method: 'POST',
  path: '/api/nats/operators/:id/resign',
  access: 'platform.manage',
  summary: 'Sign accounts anew that the root key has signed',
  description:
    'With the newest active signing key; nobody is disconnected. At most 500 a call: call again while `remaining` is not 0. Needed before strict signing key usage is turned on.',
  params: Type.Object({ id: Uuid }),
  body: Type.Object(reasonBody),
  answer: Type.Object({ resigned: Type.Integer(), remaining: Type.Integer() }),
  problems: ['not_found', 'no_signing_key'],
  run:
    (ctx) =>
    async ({ params }) => {
      const operator = await ctx.db
        .selectFrom('operator')
        .select(['id', 'public_key'])
        .where('id', '=', params.id.toLowerCase())
        .executeTakeFirst();
      if (operator === undefined) throw new Problem('not_found');
      await refuseWithoutKey(ctx, operator);
      const of = { operator_id: operator.id, public_key: operator.public_key };
      const resigned = await resignAccounts(ctx, of, AT_ONCE);
      const { rows } = await sql<{ remaining: number }>`
        select count(*) as remaining from account
        where issuer_key = ${operator.public_key} and state <> 'deleted'`.execute(ctx.db);
      return { resigned, remaining: rows[0]?.remaining ?? 0 };
    },
});

/** The root key would sign again what it has signed. */
async function refuseWithoutKey(
  ctx: NatsIdentityContext,
  operator: { readonly id: string; readonly public_key: string },
): Promise<void> {
  const signer = await ctx.db.transaction().execute((tx) => operatorSigner(tx, ctx, operator.id));
  if (signer.publicKey === operator.public_key)
    throw new Problem('no_signing_key', { detail: 'The operator has no active signing key: add one first.' });
}
