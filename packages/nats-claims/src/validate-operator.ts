import { type ClaimFault, Faults } from './claim-fault.ts';
import type { OperatorClaims } from './claims.ts';
import { type LooseObject, objectOf, textOf, textsOf } from './loose-json.ts';
import { isPublicKey } from './nkey.ts';
import { checkTags } from './validate-info.ts';

/** What a server or the Go library would find wrong with an operator's claims. */
export function validateOperatorClaims(claims: OperatorClaims): ClaimFault[] {
  const faults = new Faults();
  const fields: LooseObject = objectOf(claims);
  const accountServer = textOf(fields.account_server_url);
  if (accountServer !== '' && !URL.canParse(accountServer))
    faults.add('account_server_url', 'This is not an address with a scheme, such as nats://host:4222.');
  for (const [index, url] of textsOf(fields.operator_service_urls)) {
    const fault = serviceFault(url);
    if (fault) faults.add(`operator_service_urls[${index}]`, fault);
  }
  const version = textOf(fields.assert_server_version);
  if (version !== '' && !/^\d{1,6}\.\d{1,6}\.\d{1,6}$/.test(version))
    faults.add('assert_server_version', 'This is not a version of three numbers, such as 2.10.0.');
  for (const [index, key] of textsOf(fields.signing_keys))
    if (!isPublicKey(key, 'operator'))
      faults.add(`signing_keys[${index}]`, 'This is not the public key of an operator.');
  const system = textOf(fields.system_account);
  if (system !== '' && !isPublicKey(system, 'account'))
    faults.add('system_account', 'This is not the public key of an account.');
  checkTags(fields, faults);
  return faults.list;
}

/** A server's address without user and path; the message never holds it, since somebody may have put a password in. */
function serviceFault(url: string): string | undefined {
  const [, scheme = '', authority = '', rest = ''] =
    /^([A-Za-z][\w+.-]*):\/\/([^/?#]*)(.*)$/s.exec(url) ?? [];
  if (scheme === '' || authority === '' || !URL.canParse(url))
    return 'This is not an address such as nats://host:4222.';
  if (!['nats', 'tls', 'ws', 'wss'].includes(scheme.toLowerCase()))
    return 'The scheme must be nats, tls, ws or wss.';
  if (authority.includes('@')) return 'An address here cannot have a user or password.';
  return rest === '' ? undefined : 'An address here cannot have a path.';
}
