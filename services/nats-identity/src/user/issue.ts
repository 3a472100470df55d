import { EVENT_LANE, eventJson, newId, Problem, tenantScope } from '@gatehouse/kit';
import { credsText, jwtHash } from '@gatehouse/nats-claims';
import { CompiledQuery } from 'kysely';
import { accountSigner } from '../account/signer.ts';
import { actedBy, type ChangeCall, inChange } from '../change.ts';
import type { NatsIdentityContext } from '../context.ts';
import type { CredentialView } from './credential-view.ts';
import { gather } from './gather.ts';
import {
  factsSql,
  type IssueFacts,
  isBearer,
  refuseUnissuable,
  sealedSeed,
  sealedSigner,
} from './issue-facts.ts';
import { type IssueRecord, recordSql, recordValues } from './issue-record.ts';
import { expiryOf, type WantedLifetime } from './lifetime.ts';
import { createSeedReader, type SeedReader } from './seed-reader.ts';
import { createSignerCache, type SignerCache } from './signer-cache.ts';
import { signUserJwt } from './user-jwt.ts';

/** Whom credentials are wanted for, by whom, and for how long. */
export interface IssueOrder {
  readonly userId: string;
  readonly call: ChangeCall;
  readonly wanted: WantedLifetime;
  readonly reason: string | undefined;
  /** Everything is checked and made, and nothing written or handed out. */
  readonly dryRun: boolean;
}

/** What was issued. Only this holds anything that signs in; it goes to the caller and nowhere else. */
export interface Issued {
  readonly credential: CredentialView;
  /** null: the user keeps its own key. */
  readonly creds: string | null;
  readonly jwt: string | null;
}

/** An issue that is made and not yet written. */
export interface MadeIssue extends Issued {
  readonly record: IssueRecord;
}

/** Makes issues of one process. */
export interface Issuer {
  /** Issues in two statements, each shared by all that arrived together. @throws Problem */
  issue(order: IssueOrder): Promise<Issued>;
  /** Signs what the facts allow. @throws Problem */
  make(facts: IssueFacts, order: IssueOrder): MadeIssue;
}

/** An issue is made anew when user or account changed while it was under way: this often, then it is a conflict. */
const ATTEMPTS = 5;

/** Opens the issuer of a process; once, its cache and its queues are shared. */
export function createIssuer(ctx: NatsIdentityContext): Issuer {
  const signers = createSignerCache(ctx);
  const read = gather<string, IssueFacts | undefined>(async (userIds) => {
    const { rows } = await ctx.pool.query<IssueFacts>({
      name: 'issue-facts',
      text: factsSql,
      values: [userIds],
    });
    const found = new Map(rows.map((row) => [row.place, row]));
    return userIds.map((_, at) => found.get(at + 1));
  });
  const write = gather<IssueRecord, boolean>(async (records) => {
    // Accounts are locked in one order, so that two statements never wait for each other.
    const sorted = [...records].sort((a, b) => (a.facts.account_id < b.facts.account_id ? -1 : 1));
    const { rows } = await ctx.pool.query<{ place: number }>({
      name: 'issue-record',
      text: recordSql,
      values: recordValues(sorted),
    });
    const written = new Set(rows.map(({ place }) => sorted[place - 1]));
    return records.map((record) => written.has(record));
  });
  const seeds = createSeedReader(ctx);
  const make: Issuer['make'] = (facts, order) => makeIssue(ctx, { signers, seeds }, { facts, order });

  return {
    make,
    async issue(order) {
      const tenant = tenantScope(order.call.principal);
      for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
        const facts = await read(order.userId.toLowerCase());
        if (facts === undefined || !isVisible(facts, tenant)) throw new Problem('not_found');
        refuseUnissuable(facts);
        if (facts.signer_id === null && order.dryRun) return tryWithNewSigner(ctx, order, make);
        if (facts.signer_id === null) {
          await makeSigner(ctx, facts.account_id);
          continue;
        }
        const { record, ...issued } = make(facts, order);
        if (order.dryRun) return issued;
        if (await write(record)) {
          ctx.relay.poke(EVENT_LANE);
          return issued;
        }
      }
      throw new Problem('conflict');
    },
  };
}

const isVisible = (facts: IssueFacts, tenant: string | undefined): boolean =>
  facts.account_state !== 'deleted' && (tenant === undefined || facts.tenant_id === tenant);

/** Under a strict operator the first plain user of an account needs a signing key made for it. */
async function makeSigner(ctx: NatsIdentityContext, accountId: string): Promise<void> {
  await ctx.db.transaction().execute((tx) => accountSigner(tx, ctx, accountId));
  ctx.reconciler.poke();
}

/** What an issue would be that needs a signing key made first; the key goes with the transaction. */
async function tryWithNewSigner(
  ctx: NatsIdentityContext,
  order: IssueOrder,
  make: Issuer['make'],
): Promise<Issued> {
  return inChange(ctx, { dry_run: 'true' }, async (tx) => {
    const facts = async () => {
      const query = CompiledQuery.raw(factsSql, [[order.userId.toLowerCase()]]);
      const { rows } = await tx.executeQuery<IssueFacts>(query);
      if (rows[0] === undefined) throw new Problem('not_found');
      return rows[0];
    };
    await accountSigner(tx, ctx, (await facts()).account_id);
    const { record: _, ...issued } = make(await facts(), order);
    return issued;
  });
}

function makeIssue(
  ctx: NatsIdentityContext,
  { signers, seeds }: { signers: SignerCache; seeds: SeedReader },
  { facts, order }: { facts: IssueFacts; order: IssueOrder },
): MadeIssue {
  const sealed = sealedSigner(facts);
  if (sealed === undefined) throw new Problem('no_signing_key');
  const signer = signers.open(sealed);
  const { principal } = order.call;
  // A JWT of the second of its key's revocation would be dead at once.
  const iat = Math.max(facts.now, (facts.before ?? 0) + 1);
  const exp = expiryOf(ctx.config, principal, {
    wanted: order.wanted,
    userTtl: facts.ttl_seconds,
    now: iat,
  });
  const jwt = signUserJwt({
    publicKey: facts.public_key,
    name: facts.user,
    claims: facts.claims,
    scoped: facts.role_id !== null,
    iat,
    exp,
    signer,
    issuerAccount: signer.publicKey === facts.account_key ? undefined : facts.account_key,
  });
  const record = recordOf(facts, order, { jwt, iat, exp, issuerKey: signer.publicKey });
  const credential = credentialOf(record);
  if (order.dryRun) return { credential, creds: null, jwt: null, record };
  const seed = sealedSeed(facts);
  const creds = seed === undefined ? null : seeds.use(seed, (text) => credsText(jwt, text));
  return { credential, creds, jwt, record };
}

interface Signed {
  readonly jwt: string;
  readonly iat: number;
  readonly exp: number | undefined;
  readonly issuerKey: string;
}

function recordOf(facts: IssueFacts, { call, reason }: IssueOrder, signed: Signed): IssueRecord {
  const credentialId = newId();
  const { jwt, iat, exp, issuerKey } = signed;
  const event = {
    ...actedBy(call, reason),
    account_id: facts.account_id,
    account_key: facts.account_key,
    nats_user_id: facts.user_id,
    nats_user: facts.user,
    credential_id: credentialId,
    public_key: facts.public_key,
    bearer: isBearer(facts),
    expires_at: timeOf(exp),
  };
  return {
    facts,
    credentialId,
    issuerKey,
    jti: jtiOf(jwt),
    sha256: jwtHash(jwt),
    iat,
    exp,
    issuedBy: call.principal.userId,
    event: eventJson('natsid.credentials.issued', event),
    traceparent: call.trace.traceparent,
  };
}

/** The ledger's row as it will be. */
function credentialOf({ facts, ...record }: IssueRecord): CredentialView {
  return {
    id: record.credentialId,
    account_id: facts.account_id,
    user_id: facts.user_id,
    user: facts.user,
    public_key: facts.public_key,
    issuer_key: record.issuerKey,
    jti: record.jti,
    jwt_sha256: record.sha256.toString('hex'),
    state: 'active',
    issued_at: new Date(facts.now * 1000).toISOString(),
    issued_by: record.issuedBy,
    expires_at: timeOf(record.exp),
    revoked_at: null,
    superseded_at: null,
    last_seen_at: null,
  };
}

const timeOf = (seconds: number | undefined): string | null =>
  seconds === undefined ? null : new Date(seconds * 1000).toISOString();

function jtiOf(jwt: string): string {
  const { jti } = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as {
    jti: string;
  };
  return jti;
}
