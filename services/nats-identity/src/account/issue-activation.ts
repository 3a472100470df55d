import { append, Problem, Time, Uuid } from '@gatehouse/kit';
import { covers, encodeActivation, isPublicKey, subjectFault } from '@gatehouse/nats-claims';
import type { JsonObject } from '@gatehouse/schema';
import { sql } from 'kysely';
import Type, { type Static } from 'typebox';
import {
  acting,
  type ChangeCall,
  ChangeView,
  changeQuery,
  changeView,
  inChange,
  reasonBody,
} from '../change.ts';
import { invalidClaims } from '../claim-check.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { AccountKeyText } from '../name.ts';
import { lockAccount } from '../visible.ts';
import { ExpiryTime, expiryOf } from './expiry.ts';
import { accountSigner } from './signer.ts';

const Body = Type.Object({
  subject: Type.String({
    minLength: 1,
    maxLength: 1024,
    description: 'What may be imported: an export, or a part of one.',
  }),
  type: Type.Union([Type.Literal('stream'), Type.Literal('service')]),
  for_account: AccountKeyText,
  expires_at: Type.Optional(ExpiryTime),
  ttl_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3_153_600_000 })),
  ...reasonBody,
});

export const issueActivation = route({
  method: 'POST',
  path: '/api/nats/accounts/:id/activations',
  access: 'nats.manage',
  summary: 'Let another account import',
  description:
    'The answer’s token goes into the `token` of the other account’s import. It is taken back by a `revocations` entry of the export, or with the signing key.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  status: 201,
  answer: Type.Object({
    token: Type.String({ description: 'Empty in the answer to a dry run.' }),
    expires_at: Type.Union([Time, Type.Null()]),
    change: ChangeView,
  }),
  problems: ['not_found', 'invalid_claims', 'account_not_active', 'account_jwt_too_large', 'no_signing_key'],
  run: (ctx) => async (call) => inChange(ctx, call.query, (tx) => issue(tx, ctx, call)),
});

type IssueCall = ChangeCall & {
  readonly body: Static<typeof Body>;
  readonly query: { readonly dry_run?: 'true' | 'false' };
  readonly params: { readonly id: string };
};

async function issue(tx: NatsidTransaction, ctx: NatsIdentityContext, call: IssueCall) {
  const { body, query } = call;
  const account = await lockAccount(tx, call.principal, call.params.id);
  check(body, account.claims, account.public_key);
  const now = await nowSeconds(tx);
  if (body.expires_at !== undefined && body.ttl_seconds !== undefined)
    throw new Problem('invalid_request', { detail: 'Send expires_at or ttl_seconds, not both.' });
  const until =
    body.ttl_seconds === undefined ? expiryOf(body.expires_at) : new Date((now + body.ttl_seconds) * 1000);
  const { key, issuerAccount } = await accountSigner(tx, ctx, account.id);
  const token = encodeActivation(
    {
      importer: body.for_account,
      subject: body.subject,
      type: body.type,
      name: body.subject,
      issuerAccount,
      issuedAt: now,
      ...(until && { expiresAt: until.getTime() / 1000 }),
    },
    key,
  );
  const expires_at = until?.toISOString() ?? null;
  const { by, traceparent } = acting(call, body.reason);
  await append(tx, {
    type: 'natsid.activation.issued',
    tenant_id: account.tenant_id,
    aggregate: `account:${account.id}`,
    traceparent,
    data: {
      ...by,
      account_id: account.id,
      account_key: account.public_key,
      subject: body.subject,
      for_account: body.for_account,
      expires_at,
    },
  });
  return { token: query.dry_run === 'true' ? '' : token, expires_at, change: changeView(query) };
}

function check(body: Static<typeof Body>, claims: JsonObject, publicKey: string): void {
  if (!isPublicKey(body.for_account, 'account'))
    throw invalidClaims([{ path: 'for_account', message: 'is no public key of an account.' }]);
  if (body.for_account === publicKey)
    throw invalidClaims([{ path: 'for_account', message: 'is the exporting account itself.' }]);
  const fault = subjectFault(body.subject);
  if (fault !== undefined) throw invalidClaims([{ path: 'subject', message: fault }]);
  const offered = Array.isArray(claims.exports) ? (claims.exports as JsonObject[]) : [];
  if (!offered.some(({ type, subject }) => type === body.type && holds(String(subject), body.subject)))
    throw invalidClaims([
      { path: 'subject', message: `is no part of any ${body.type} that the account exports.` },
    ]);
}

/** As the Go library has it `a.*` holds `a.>`; a token for that would promise more than the export gives. */
const holds = (offered: string, asked: string): boolean =>
  covers(offered, asked) && (!isOpen(asked) || isOpen(offered));
const isOpen = (subject: string) => subject === '>' || subject.endsWith('.>');

async function nowSeconds(tx: NatsidTransaction): Promise<number> {
  const { rows } = await sql<{
    now: number;
  }>`select floor(extract(epoch from clock_timestamp()))::bigint as now`.execute(tx);
  return rows[0]?.now ?? Math.floor(Date.now() / 1000);
}
