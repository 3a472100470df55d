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

/** Where creds lie, and until when they work; null: for ever. */
export interface KeptCreds {
  readonly secret_id: string | null;
  readonly creds_expire_at: Date | null;
}

/** Of a cluster whose credentials are made on the fly. */
export const ownCreds: KeptCreds = { secret_id: null, creds_expire_at: null };

/**
 * Checks creds that somebody sends for a cluster, and seals them.
 * @throws Problem `invalid_creds`
 */
export async function keepCreds(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  operator: Operator,
  text: string,
): Promise<KeptCreds> {
  const { publicKey, issuerAccount, expiresAt } = readCreds(text);
  const system = await systemAccountOf(tx, operator);
  if (system !== undefined && system.public_key !== issuerAccount)
    throw refused('Their user does not belong to the system account that the operator names.');
  const secret_id = await keepSecret(tx, ctx, { kind: 'creds', publicKey, plaintext: text });
  return { secret_id, creds_expire_at: expiresAt };
}

/**
 * Refuses a cluster that nobody here could sign in to: without creds, a key of the system account is needed.
 * @throws Problem `no_signing_key`
 */
export async function requireSystemKey(tx: NatsidTransaction, operator: Operator): Promise<void> {
  const system = await systemAccountOf(tx, operator);
  const held =
    system !== undefined &&
    ((system.secret_id !== null && system.claims.strict_signing_key_usage !== true) ||
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
    .innerJoin('operator', 'operator.id', 'account.operator_id')
    .select(['account.id', 'account.public_key', 'account.secret_id', 'operator.claims'])
    .where('account.id', '=', system_account_id)
    .executeTakeFirst();
}

/** Whose creds these are. What is wrong with them is told without any part of them. */
function readCreds(text: string) {
  const creds = parseCreds(text);
  if (creds === undefined) throw refused('They hold no JWT and seed between lines of dashes.');
  const claims = claimsOf(creds.jwt);
  if (claims.nats.type !== 'user') throw refused('Their JWT is not a user’s.');
  if (claims.exp !== undefined && claims.exp * 1000 <= Date.now()) throw refused('Their JWT has expired.');
  if (publicKeyOf(creds.seed) !== claims.sub) throw refused('Their seed is not the key of their JWT.');
  const issuerAccount = claims.nats.issuer_account ?? claims.iss;
  const expiresAt = claims.exp === undefined ? null : new Date(claims.exp * 1000);
  return { publicKey: claims.sub, issuerAccount: String(issuerAccount), expiresAt };
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
