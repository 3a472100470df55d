import { Problem } from '@gatehouse/kit';
import {
  type DecodedJwt,
  decodeJwt,
  JwtError,
  NkeyError,
  nkeyFromSeed,
  parseCreds,
} from '@gatehouse/nats-claims';
import type { OperatorTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { keepSecret } from '../secret.ts';

type Operator = Pick<Selectable<OperatorTable>, 'id' | 'system_account_id'>;

/**
 * Checks creds that somebody sends for a cluster, and seals them; returns the secret's id.
 * @throws Problem `invalid_creds`
 */
export async function keepCreds(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  operator: Operator,
  text: string,
): Promise<string> {
  const { publicKey, issuerAccount } = readCreds(text);
  const system = await systemAccountOf(tx, operator);
  if (system !== undefined && system.public_key !== issuerAccount)
    throw refused('Their user does not belong to the system account that the operator names.');
  return keepSecret(tx, ctx, { kind: 'creds', publicKey, plaintext: text });
}

/**
 * Refuses a cluster that nobody here could sign in to: without creds, a key of the system account is needed.
 * @throws Problem `no_signing_key`
 */
export async function requireSystemKey(tx: NatsidTransaction, operator: Operator): Promise<void> {
  const system = await systemAccountOf(tx, operator);
  const held =
    system !== undefined &&
    (system.secret_id !== null ||
      (await tx
        .selectFrom('account_key')
        .select('id')
        .where('account_id', '=', system.id)
        .where('secret_id', 'is not', null)
        .where('role_name', 'is', null)
        .limit(1)
        .executeTakeFirst()) !== undefined);
  if (!held)
    throw new Problem('no_signing_key', {
      detail: 'No key of the operator’s system account is held here: send creds of one of its users.',
    });
}

async function systemAccountOf(tx: NatsidTransaction, { system_account_id }: Operator) {
  if (system_account_id === null) return undefined;
  return tx
    .selectFrom('account')
    .select(['id', 'public_key', 'secret_id'])
    .where('id', '=', system_account_id)
    .executeTakeFirst();
}

/** Whose creds these are. What is wrong with them is told without any part of them. */
function readCreds(text: string): { readonly publicKey: string; readonly issuerAccount: string } {
  const creds = parseCreds(text);
  if (creds === undefined) throw refused('They hold no JWT and seed between lines of dashes.');
  const claims = claimsOf(creds.jwt);
  if (claims.nats.type !== 'user') throw refused('Their JWT is not a user’s.');
  if (claims.exp !== undefined && claims.exp * 1000 <= Date.now()) throw refused('Their JWT has expired.');
  if (publicKeyOf(creds.seed) !== claims.sub) throw refused('Their seed is not the key of their JWT.');
  const issuerAccount = claims.nats.issuer_account ?? claims.iss;
  return { publicKey: claims.sub, issuerAccount: String(issuerAccount) };
}

function claimsOf(jwt: string): DecodedJwt {
  try {
    return decodeJwt(jwt);
  } catch (error) {
    if (error instanceof JwtError) throw refused(`Their JWT cannot be read: ${error.message}.`);
    throw error;
  }
}

function publicKeyOf(seed: string): string {
  try {
    return nkeyFromSeed(seed, 'user').publicKey;
  } catch (error) {
    if (error instanceof NkeyError) throw refused('Their seed is not a user’s.');
    throw error;
  }
}

const refused = (detail: string) => new Problem('invalid_creds', { detail });
