import { decodeJwt, encodeJwt, JwtError } from './jwt.ts';
import { isPublicKey, type Nkey } from './nkey.ts';
import { covers, subjectFault } from './subject.ts';

/** What an exporter allows an importer by a token. */
export interface Activation {
  /** Public key of the account that may import. */
  readonly importer: string;
  readonly subject: string;
  readonly type: 'stream' | 'service';
  /** Public key of the exporting account when a signing key of it signs; undefined when its identity key does. */
  readonly issuerAccount?: string | undefined;
  readonly name?: string | undefined;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt?: number | undefined;
}

/**
 * Signs an activation token, which goes into the `token` of the importer's import.
 * @throws TypeError when the importer is no account's key or the subject none
 */
export function encodeActivation(activation: Activation, signer: Nkey): string {
  const { importer, subject, type, issuerAccount, name, issuedAt, expiresAt } = activation;
  if (!isPublicKey(importer, 'account')) throw new TypeError('the importer is not an account');
  if (subjectFault(subject) !== undefined) throw new TypeError('not a subject');
  return encodeJwt(
    { sub: importer, iat: issuedAt, ...(name && { name }), ...(expiresAt && { exp: expiresAt }) },
    {
      subject,
      kind: type,
      ...(issuerAccount && issuerAccount !== signer.publicKey && { issuer_account: issuerAccount }),
      type: 'activation',
    },
    signer,
  );
}

/** What an import says that its token must be of. What is undefined is not compared. */
export interface WantedActivation {
  readonly exporter: string;
  readonly importer?: string | undefined;
  readonly type: 'stream' | 'service';
  readonly subject: string;
  readonly nowSeconds?: number | undefined;
}

/** What is wrong with the token of an import (jwt v2, Import.Validate); the sentences never hold the token. */
export function activationFaults(token: string, wanted: WantedActivation): string[] {
  let jwt: ReturnType<typeof decodeJwt>;
  try {
    jwt = decodeJwt(token);
  } catch (error) {
    if (!(error instanceof JwtError)) throw error;
    return [`This is not an activation token: ${error.message}.`];
  }
  const { iss, sub, exp, nbf, nats } = jwt;
  // In the old form the type was the one of the export.
  const kind = nats.kind ?? nats.type;
  const faults: string[] = [];
  if (nats.type !== 'activation' && jwt.version === 2)
    return ['This is not an activation token, but a JWT of another type.'];
  if (!isPublicKey(iss, 'account') || (iss !== wanted.exporter && nats.issuer_account !== wanted.exporter))
    faults.push('This token was not issued by the account that the import names.');
  if (wanted.importer !== undefined && sub !== wanted.importer)
    faults.push('This token was issued to another account.');
  if (kind !== wanted.type) faults.push(`This token is not for a ${wanted.type}.`);
  if (typeof nats.subject !== 'string' || !covers(nats.subject, wanted.subject))
    faults.push('This token is for another subject.');
  const now = wanted.nowSeconds;
  if (now !== undefined && exp !== undefined && exp <= now) faults.push('This token has expired.');
  if (now !== undefined && nbf !== undefined && nbf > now) faults.push('This token is not valid yet.');
  return faults;
}
