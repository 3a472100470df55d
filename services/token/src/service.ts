import { defineService } from '@gatehouse/kit';
import type { TokenDatabase } from '@gatehouse/schema';
import { openAccessTokens } from './access-token.ts';
import { adminEndSession } from './admin-end-session.ts';
import { adminListSessions } from './admin-list-sessions.ts';
import { adminRevokeAll } from './admin-revoke-all.ts';
import { clearExpired } from './clear-expired.ts';
import type { TokenContext, TokenParts } from './context.ts';
import { countSessions } from './count-sessions.ts';
import { endOtherSessions } from './end-other-sessions.ts';
import { endSession } from './end-session.ts';
import { jwks } from './jwks.ts';
import { openKeyRing } from './key-ring.ts';
import { listKeys } from './list-keys.ts';
import { listSessions } from './list-sessions.ts';
import { logout } from './logout.ts';
import { ensureKeys, lockKeys } from './managed-keys.ts';
import { openSession } from './open-session.ts';
import { purge } from './purge.ts';
import { putSubjects } from './put-subjects.ts';
import { putTenant } from './put-tenant.ts';
import { openRefreshTokens } from './refresh-token.ts';
import { revokeKey } from './revoke-key.ts';
import { revokeUserSessions } from './revoke-user-sessions.ts';
import { rotate } from './rotate.ts';
import { rotateKeys } from './rotate-keys.ts';
import { rewrapSealed, sealedRecords } from './sealed-records.ts';
import { sessionStatus } from './session-status.ts';
import { settingFaults, tokenSettings } from './settings.ts';
import { reloadKeys, tickKeys } from './tick-keys.ts';
import { verificationKeys } from './verification-keys.ts';

/** Sessions, refresh rotation, signing keys, revocation. */
export const token = defineService<typeof tokenSettings, TokenDatabase, TokenParts>({
  name: 'token',
  settings: tokenSettings,
  check: settingFaults,
  routes: [
    rotate,
    jwks,
    logout,
    listSessions,
    endSession,
    endOtherSessions,
    adminListSessions,
    adminEndSession,
    adminRevokeAll,
    clearExpired,
    listKeys,
    rotateKeys,
    revokeKey,
  ],
  answers: [
    openSession,
    putSubjects,
    putTenant,
    revokeUserSessions,
    sessionStatus,
    verificationKeys,
    sealedRecords,
    rewrapSealed,
  ],
  jobs: [tickKeys, reloadKeys, purge, countSessions],
  open: async (ctx) => {
    const ring = openKeyRing(ctx);
    // The first replay must be an increase: a counter that appears as 1 has risen by nothing.
    for (const result of ['ok', 'retried', 'replay', 'invalid', 'expired'] as const)
      ctx.metrics.refresh.inc({ result }, 0);
    return {
      ring,
      accessTokens: openAccessTokens(ctx.config, ring),
      refreshTokens: openRefreshTokens(ctx.secrets),
    };
  },
  start: prepareKeys,
  health: async (ctx) => [signingKeysOf(ctx)],
});

// Of several instances that start at the same moment one makes the keys; the others wait for the lock and find them.
async function prepareKeys(ctx: TokenContext): Promise<void> {
  if (ctx.ring.source === 'managed') {
    await ctx.db.transaction().execute(async (tx) => {
      await lockKeys(tx);
      await ensureKeys(tx, ctx);
    });
  }
  await ctx.ring.reload();
  // Another instance withdrew it: nothing more is signed with it here, and it is published no longer.
  ctx.feed.onKeyRevoked(() => {
    ctx.ring.reload().catch((err: unknown) => ctx.log.warn({ err }, 'signing keys could not be read again'));
  });
}

function signingKeysOf({ ring }: TokenContext) {
  const details = { key_count: ring.jwks().keys.length, source: ring.source };
  const about = { name: 'signing_keys', latency_ms: 0 };
  try {
    return { ...about, status: 'healthy' as const, details: { ...details, current_kid: ring.signer().kid } };
  } catch {
    return { ...about, status: 'unhealthy' as const, details: { ...details, current_kid: null } };
  }
}
