import type { AccountSyncState } from '@gatehouse/schema';
import { LeaseLost } from './lease.ts';
import { type ReadBack, readBack, type ServerProof, type Wanted } from './read-back.ts';
import { distrusting, type Presence } from './reconciler-presence.ts';
import { PayloadTooLarge, type SystemClient } from './system-client.ts';

/** Where an account is brought to. */
export interface PushTarget {
  readonly client: SystemClient;
  readonly presence: Presence;
  /** Names of servers that were there once and do not answer. */
  readonly absent: readonly string[];
  /** Whether this process is still the one that writes to the cluster. */
  readonly mayPush: () => boolean;
}

/** An account as it shall be now. */
export interface PushAccount extends Wanted {
  readonly issuer: string;
  /** Seconds since 1970. */
  readonly expiresAt: number | undefined;
  /** It was tried before: servers may have it by now, and need not be told again. */
  readonly sentBefore: boolean;
}

/** Label of `nis_cluster_sync_errors_total`. */
export const pushCauses = ['unreachable', 'untrusted', 'refused', 'not_stored', 'not_enforced'] as const;
export type PushCause = (typeof pushCauses)[number];

/** What became of one account on all servers. */
export interface PushOutcome {
  readonly state: AccountSyncState;
  readonly servers: Record<string, ServerProof>;
  readonly error: string | null;
  readonly cause: PushCause | undefined;
  /** Trying again changes nothing: something else must happen first (a server returns or starts anew, a change). */
  readonly waits: boolean;
}

const remedies = {
  cache:
    'the servers only cache JWTs and store none: give at least one server of the cluster a full resolver (resolver { type: full })',
  memory:
    'the servers keep JWTs in their configuration (MEMORY) or fetch them (URL): put the account into resolver_preload of every server, or give them a full resolver (resolver { type: full })',
  unknown: 'no server said how it keeps JWTs',
};

/**
 * Brings one account to every server that answers, and proves it there. Nothing is sent before every server trusts the
 * signer: a server stores what it will not obey, in place of what it obeyed, and says 200 (nats-protocol, fact 1).
 * @throws LeaseLost, ClusterUnreachable, NotPermitted
 */
export async function pushAccount(target: PushTarget, account: PushAccount): Promise<PushOutcome> {
  const held = refusal(target, account);
  if (held !== undefined) return held;
  const { client, presence } = target;
  const names = presence.servers.map(({ name }) => name);
  const { stores } = presence;
  if (stores === 0) return pushUnstored(target, account);
  if (account.sentBefore) {
    const back = await readBack(client, account, { names, stores });
    if (back.error === undefined) return judge(target, back, new Map(names.map((name) => [name, undefined])));
  }
  const answers = await send(target, account, '$SYS.REQ.CLAIMS.UPDATE');
  if (answers === 'too_large') return tooLarge(target, account);
  const back = await readBack(client, account, { names, stores });
  return judge(target, back, answers);
}

/** What is wrong with a server that would not obey what it is sent. */
export const mistrust = 'does not trust the operator key that signed the account';

/** Why nothing may be sent; undefined: it may. */
function refusal({ presence, absent }: PushTarget, account: PushAccount): PushOutcome | undefined {
  const names = presence.servers.map(({ name }) => name);
  if (names.length === 0)
    return failed(
      'unreachable',
      'unreachable',
      'no server of the cluster answers',
      faultsOf(absent, 'does not answer'),
    );
  const strangers = distrusting(presence, account.issuer);
  if (strangers.length > 0)
    return failed(
      'operator_key_untrusted',
      'untrusted',
      `nothing was sent: ${strangers.join(', ')} ${mistrust}; start it with the operator’s new JWT`,
      faultsOf(strangers, mistrust),
    );
  if (account.expiresAt !== undefined && account.expiresAt * 1_000 <= Date.now())
    return failed(
      'refused',
      'refused',
      'the account has expired: servers would store its JWT and not apply it, so nothing was sent; give it a later expires_at',
      {},
    );
  return undefined;
}

/** One answer of each server to an update: an error in its words, or undefined. */
type Answers = ReadonlyMap<string, string | undefined>;

async function send(
  target: PushTarget,
  account: PushAccount,
  subject: string,
): Promise<Answers | 'too_large'> {
  if (!target.mayPush()) throw new LeaseLost();
  try {
    const { replies } = await target.client.requestAll(subject, account.jwt, {
      expect: target.presence.servers.length,
      timeoutMs: target.client.timeoutFor(account.jwt.length),
    });
    return new Map(replies.flatMap(({ server, error }) => (server ? [[server.name, error]] : [])));
  } catch (error) {
    if (error instanceof PayloadTooLarge) return 'too_large';
    throw error;
  }
}

function tooLarge({ client }: PushTarget, account: PushAccount): PushOutcome {
  const error = `the account’s JWT has ${account.jwt.length} bytes; the servers take ${client.maxPayload} in one message`;
  return failed('refused', 'refused', error, {});
}

/**
 * Servers without a store: what is loaded takes the update and loses it at the next start; nothing can be proven to last.
 */
async function pushUnstored(target: PushTarget, account: PushAccount): Promise<PushOutcome> {
  const { client, presence } = target;
  const subject =
    presence.resolver === 'memory'
      ? `$SYS.REQ.ACCOUNT.${account.publicKey}.CLAIMS.UPDATE`
      : '$SYS.REQ.CLAIMS.UPDATE';
  if (presence.resolver !== 'unknown' && (await send(target, account, subject)) === 'too_large')
    return tooLarge(target, account);
  const names = presence.servers.map(({ name }) => name);
  const { servers } = await readBack(client, account, { names, stores: 0 });
  const applied = names.filter((name) => servers[name]?.enforced === account.hash).length;
  const remedy =
    presence.resolver === 'cache' || presence.resolver === 'memory' ? presence.resolver : 'unknown';
  const lasting =
    applied > 0 ? ` (${applied} of ${names.length} servers enforce it, until they start anew)` : '';
  return failed('refused', 'refused', `${remedies[remedy]}${lasting}`, servers);
}

function judge(target: PushTarget, back: ReadBack, answers: Answers): PushOutcome {
  const { presence, absent } = target;
  const servers = { ...back.servers };
  const silent: string[] = [];
  const refusing: string[] = [];
  for (const { name } of presence.servers) {
    const error = answers.get(name);
    if (!answers.has(name)) silent.push(name);
    else if (error !== undefined) refusing.push(`${name}: ${error}`);
    const fault = answers.has(name) ? error : 'did not answer the update';
    // A proof counts for more than an answer that got lost.
    if (fault !== undefined && (error !== undefined || back.error !== undefined))
      servers[name] = { ...(servers[name] ?? nothing()), error: fault };
  }
  Object.assign(servers, faultsOf(absent, 'does not answer'));
  if (refusing.length > 0)
    return { ...failed('refused', 'refused', refusing.join('; '), servers), waits: false };
  if (back.error !== undefined && silent.length > 0)
    return {
      ...failed('unreachable', 'unreachable', `no answer from ${silent.join(', ')}`, servers),
      waits: false,
    };
  if (back.error !== undefined)
    return { ...failed('drifted', back.cause ?? 'not_stored', back.error, servers), waits: false };
  if (absent.length > 0)
    return failed(
      'unreachable',
      'unreachable',
      `${absent.join(', ')} does not answer; proven on the others`,
      servers,
    );
  return { state: 'in_sync', servers, error: null, cause: undefined, waits: false };
}

function failed(
  state: AccountSyncState,
  cause: PushCause,
  error: string,
  servers: Record<string, ServerProof>,
): PushOutcome {
  return { state, cause, error, servers, waits: true };
}

const nothing = (): ServerProof => ({ stored: null, enforced: null, at: new Date().toISOString() });

const faultsOf = (names: readonly string[], error: string): Record<string, ServerProof> =>
  Object.fromEntries(names.map((name) => [name, { ...nothing(), error }]));
