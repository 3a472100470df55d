import { encodeJwt } from '@gatehouse/nats-claims';
import { operatorSigner } from '../account-jwt.ts';
import type { SystemClient } from '../cluster/system-client.ts';
import type { NatsIdentityContext } from '../context.ts';

/** Keys that servers still store, each with the names of these servers; and who could not say. */
export interface StoredKeys {
  readonly servers: ReadonlyMap<string, readonly string[]>;
  readonly fault: string | undefined;
}

/** Which of these account keys the servers of a cluster store, by their own lists. */
export async function storedKeys(
  client: SystemClient,
  keys: ReadonlySet<string>,
  servers: number,
): Promise<StoredKeys> {
  const { replies, noResponders } = await client.requestAll('$SYS.REQ.CLAIMS.LIST', '', { expect: servers });
  const found = new Map<string, string[]>();
  let answered = 0;
  for (const { data, error, server } of replies) {
    if (error !== undefined || !Array.isArray(data) || server === undefined) continue;
    answered += 1;
    for (const key of data) if (keys.has(key)) found.set(key, [...(found.get(key) ?? []), server.name]);
  }
  return { servers: found, fault: faultOf({ answered, servers, noResponders }) };
}

function faultOf(seen: { answered: number; servers: number; noResponders: boolean }): string | undefined {
  if (seen.noResponders)
    return 'its resolver does not say what it stores: take the account out of its configuration';
  if (seen.answered < seen.servers)
    return `${seen.servers - seen.answered} of ${seen.servers} servers did not say what they store`;
  return undefined;
}

/**
 * Asks every server to delete accounts. What it says is no proof (keys that are not there count as deleted, too): look at
 * {@link storedKeys} afterwards. Returns what servers complained of.
 */
export async function sendDelete(
  client: SystemClient,
  jwt: string,
  servers: number,
): Promise<string | undefined> {
  const { replies, noResponders } = await client.requestAll('$SYS.REQ.CLAIMS.DELETE', jwt, {
    expect: servers,
  });
  if (noResponders) return 'no server takes deletions';
  const refused = replies.find(({ error }) => error !== undefined);
  return refused && `${refused.server?.name ?? 'a server'} refuses: ${refused.error}`;
}

/**
 * The order to delete accounts: about and by the same key, one that servers trust; under strict signing key usage that is
 * a signing key (tried on servers).
 * @throws Problem `no_signing_key`
 */
export async function deleteOrder(
  ctx: NatsIdentityContext,
  operatorId: string,
  keys: readonly string[],
): Promise<string> {
  const signer = await ctx.db.transaction().execute((tx) => operatorSigner(tx, ctx, operatorId));
  const iat = Math.floor(Date.now() / 1000);
  return encodeJwt({ sub: signer.publicKey, iat }, { accounts: [...keys], type: 'generic' }, signer);
}
