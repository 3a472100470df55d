/** Every role there is, the lowest first; each holds what the ones before it may do. */
export const roles = ['USER', 'ADMIN', 'PLATFORM_ADMIN'] as const;

/**
 * `USER` acts for itself, `ADMIN` for its tenant, `PLATFORM_ADMIN` for the whole installation. ADMIN says nothing about
 * *which* tenant: whoever checks the role also compares `tenantId`.
 */
export type Role = (typeof roles)[number];

/** Who asks, as one access token says it and the revocation feed (or the database) confirms it at this moment. */
export interface Principal {
  /** `sub`. */
  readonly userId: string;
  /** `tenant_id`. */
  readonly tenantId: string;
  /** `sid`: the session that the token came from; it dies with the session. */
  readonly sessionId: string;
  /** The held role and all below it. Newer than the token's own claim when the roles changed after it was signed. */
  readonly roles: readonly string[];
  /** Space-separated (RFC 6749 §3.3); empty when the token carries none. */
  readonly scope: string;
  /** `jti`. */
  readonly tokenId: string;
  /** `iat`, Unix seconds. */
  readonly issuedAt: number;
  /** `exp`, Unix seconds. */
  readonly expiresAt: number;
}

const ranks: ReadonlyMap<string, number> = new Map(roles.map((role, rank) => [role, rank]));

/** Whether the principal holds `role` or one above it. A role this version does not know grants nothing. */
export function roleAtLeast(principal: Pick<Principal, 'roles'>, role: Role): boolean {
  const needed = ranks.get(role);
  if (needed === undefined) return false;
  return principal.roles.some((held) => (ranks.get(held) ?? -1) >= needed);
}
