import { createHash } from 'node:crypto';
import { type Call, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { canonicalEmail } from './email.ts';
import type { AuthConfig } from './settings.ts';

/** An address as callers may write it; canonicalEmail judges the rest. */
export const EmailText = Type.String({
  minLength: 1,
  maxLength: 1024,
  description: 'One e-mail address; case and Unicode form do not matter.',
});

/** NFKC can only shorten this to what the policy counts (1,024 code points). */
export const PasswordInput = Type.String({ minLength: 1, maxLength: 4096, description: 'Password' });

export const TenantId = Type.Optional(Uuid);

/** Text of people that ends in logs and listings: no control characters that steer a terminal or break a line. */
export const printableText = (about: { minLength?: number; maxLength: number; description: string }) =>
  Type.String({ ...about, pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]*$' });

/** Which account is meant, in the one form that is stored and compared. */
export interface Identity {
  readonly tenantId: string;
  /** Canonical. */
  readonly email: string;
  /** Key of the lockout counter: SHA-256 of the canonical address. */
  readonly digest: Buffer;
}

/** The only place where an address from outside becomes canonical. */
export function identityOf(
  config: Pick<AuthConfig, 'DEFAULT_TENANT_ID'>,
  given: { readonly tenant_id?: string; readonly email: string },
):
  | { readonly outcome: 'ok'; readonly identity: Identity }
  | { readonly outcome: 'refused'; readonly reason: string } {
  const canonical = canonicalEmail(given.email);
  if (canonical.outcome === 'refused') return { outcome: 'refused', reason: canonical.reason };
  const tenantId = (given.tenant_id ?? config.DEFAULT_TENANT_ID).toLowerCase();
  return {
    outcome: 'ok',
    identity: { tenantId, email: canonical.email, digest: digestOf(canonical.email) },
  };
}

/** Digest of a canonical address. */
export function digestOf(email: string): Buffer {
  return createHash('sha256').update(email).digest();
}

/** Who acts and from where, as events carry it. */
export function actingOf(call: Pick<Call, 'client'>, userId: string | null) {
  return { user_id: userId, client_ip: call.client.ip, user_agent: call.client.userAgent };
}
