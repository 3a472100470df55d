import {
  append,
  createLimiter,
  createRateLimitStore,
  noteCertificate,
  type RateVerdict,
} from '@gatehouse/kit';
import type { AuthBase, AuthTransaction } from './context.ts';
import { actingOf, type Identity } from './identity.ts';
import type { Attempted } from './lockout.ts';

/** Which account; not whether there is one. */
type Account = Pick<Identity, 'tenantId' | 'email'>;

/** Limits sign-ins by account, from however many addresses they come. The gateway limits them by address. */
export interface AccountLimit {
  /** Counts one; the refusal when it is one too many. `first`: of its window, in this process. */
  attempt(account: Account): Promise<{ readonly verdict: RateVerdict; readonly first: boolean } | undefined>;
  /** `here`: no Redis is shared, or it is lost, and other processes still count. */
  forget(account: Account): Promise<'everywhere' | 'here'>;
  close(): Promise<void>;
}

/** Accounts whose refusals are told apart; beyond them the event of the window is left out, the single ones are not. */
const TOLD_MAX = 10_000;

export function openAccountLimit({ config, secrets, log, metrics }: AuthBase): AccountLimit {
  const labels = { service: 'auth', dep: 'redis' } as const;
  if (config.RATE_LIMIT_REDIS_URL !== undefined) metrics.dependencyUp.set(labels, 1);
  const store = createRateLimitStore({
    redisUrl: config.RATE_LIMIT_REDIS_URL,
    hashKey: secrets.key('rate-limit'),
    onEpisode: (kind, detail) => {
      metrics.dependencyUp.set(labels, kind === 'lost' ? 0 : 1);
      log.warn({ kind, ...detail }, 'rate limit store');
    },
    onCertificate: noteCertificate(metrics, labels),
  });
  const limiter = createLimiter({
    store,
    scope: 'login_account',
    max: config.RATE_LIMIT_LOGIN_ACCOUNT_MAX,
    windowSeconds: config.RATE_LIMIT_LOGIN_ACCOUNT_WINDOW_SECONDS,
  });
  const toldUntil = new Map<string, number>();

  function isFirst(key: string, { resetSeconds }: RateVerdict): boolean {
    const now = performance.now();
    if ((toldUntil.get(key) ?? 0) > now) return false;
    if (toldUntil.size >= TOLD_MAX)
      for (const [old, until] of toldUntil) if (until <= now) toldUntil.delete(old);
    if (toldUntil.size >= TOLD_MAX) return false;
    toldUntil.set(key, now + resetSeconds * 1000);
    return true;
  }

  return {
    async attempt(account) {
      const key = keyOf(account);
      const verdict = await limiter.consume(key);
      return verdict.allowed ? undefined : { verdict, first: isFirst(key, verdict) };
    },
    async forget(account) {
      toldUntil.delete(keyOf(account));
      const reached = await limiter.reset(keyOf(account));
      return store.status === 'memory' ? 'here' : reached;
    },
    close: () => store.close(),
  };
}

// An address holds no space, so no two accounts share a key.
const keyOf = ({ tenantId, email }: Account): string => `${tenantId} ${email}`;

/** `security.rate_limited`, once a window; each refused sign-in has its own `auth.login.failure` besides. */
export async function tellLimited(
  tx: AuthTransaction,
  who: Attempted,
  { limit }: RateVerdict,
): Promise<void> {
  await append(tx, {
    type: 'security.rate_limited',
    tenant_id: who.tenantKnown ? who.identity.tenantId : null,
    aggregate: 'rate-limit:login',
    traceparent: who.call.trace.traceparent,
    data: { ...actingOf(who.call, who.userId), scope: 'login', limit, count: 1 },
  });
}
