import { Problem, problems } from '@gatehouse/kit';
import { CompiledQuery } from 'kysely';
import type { ChangeCall } from '../change.ts';
import type { NatsidTransaction } from '../context.ts';
import type { Issuer } from '../user/issue.ts';
import { factsSql, type IssueFacts, isBearer, refuseUnissuable } from '../user/issue-facts.ts';
import { type IssueRecord, recordSql, recordValues } from '../user/issue-record.ts';
import type { LeftOut } from './nsc-file.ts';

/** A user with a JWT of now. */
export interface ExportedUser {
  readonly accountId: string;
  readonly name: string;
  readonly publicKey: string;
  readonly jwt: string;
}

/** What an export of users is made with. */
export interface UserExport {
  readonly issuer: Issuer;
  readonly call: ChangeCall;
  readonly reason: string | undefined;
  /** Without, nothing that signs in by itself is handed out. */
  readonly seeds: boolean;
}

/** Few: signing them must not hold up others for long. */
const USERS_AT_ONCE = 100;

/**
 * Issues a JWT to each user of an operator: those that were issued before are not kept here. Each is in the ledger, as
 * any other; what cannot be issued is left out. The caller holds the accounts' locks.
 */
export async function exportUsers(
  tx: NatsidTransaction,
  operatorId: string,
  about: UserExport,
): Promise<{ readonly users: ExportedUser[]; readonly leftOut: LeftOut[] }> {
  const ids = await tx
    .selectFrom('nats_user as u')
    .innerJoin('account as a', 'a.id', 'u.account_id')
    .select('u.id')
    .where('a.operator_id', '=', operatorId)
    .where('a.state', 'in', ['active', 'locked'])
    .orderBy('u.account_id')
    .orderBy('u.id')
    .execute();
  const users: ExportedUser[] = [];
  const leftOut: LeftOut[] = [];
  for (let from = 0; from < ids.length; from += USERS_AT_ONCE) {
    const some = ids.slice(from, from + USERS_AT_ONCE).map(({ id }) => id);
    const { rows } = await tx.executeQuery<IssueFacts>(CompiledQuery.raw(factsSql, [some]));
    const records: IssueRecord[] = [];
    for (const facts of rows) {
      const made = madeOf(facts, about);
      if ('message' in made) leftOut.push(made);
      else {
        records.push(made.record);
        users.push({
          accountId: facts.account_id,
          name: facts.user,
          publicKey: facts.public_key,
          jwt: made.jwt,
        });
      }
    }
    if (records.length > 0) await enter(tx, records);
  }
  return { users, leftOut };
}

function madeOf(
  facts: IssueFacts,
  { issuer, call, reason, seeds }: UserExport,
): LeftOut | { readonly jwt: string; readonly record: IssueRecord } {
  const path = `user ${facts.user} (${facts.public_key})`;
  if (!seeds && isBearer(facts))
    return { path, message: 'A bearer’s JWT is its credential: it comes with the private keys only.' };
  try {
    refuseUnissuable(facts);
    const order = { userId: facts.user_id, call, wanted: {}, reason, dryRun: false };
    const { jwt, record } = issuer.make(facts, order);
    if (jwt === null) throw new Error('an issue without a JWT');
    return { jwt, record };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { path, message: `${problems[error.code].title}.` };
  }
}

async function enter(tx: NatsidTransaction, records: readonly IssueRecord[]): Promise<void> {
  const { rows } = await tx.executeQuery(CompiledQuery.raw(recordSql, recordValues(records)));
  // Under the accounts' locks only a user that changed in between can be missing.
  if (rows.length !== records.length) throw new Problem('conflict');
}
