/** Who asks, as one access token says it and the revocation feed (or the database) confirms it at this moment. */
export interface Principal {
  /** `sub`. */
  readonly userId: string;
  /** `tenant_id`. */
  readonly tenantId: string;
  /** `sid`: the session that the token came from; it dies with the session. */
  readonly sessionId: string;
  /** What permission.ts reads. Newer than the token's own claim when the roles changed after it was signed. */
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
