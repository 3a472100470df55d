import { type ClaimFault, Faults, memberPath, shown } from './claim-fault.ts';
import type { AccountClaims } from './claims.ts';
import { type LooseObject, listOf, numberOf, objectOf, textOf, textsOf } from './loose-json.ts';
import { isPublicKey } from './nkey.ts';
import { endsOpen, literalFault, subjectFault, tokensOf, wildcardCount } from './subject.ts';
import { checkExportLimits, checkExports } from './validate-exports.ts';
import { checkImports, type Importer } from './validate-imports.ts';
import { checkInfo, checkTags } from './validate-info.ts';
import { checkLimits } from './validate-limits.ts';
import { checkPermissions } from './validate-permissions.ts';

/** What is known of the account beside its claims. */
export interface AboutAccount extends Importer {
  readonly systemAccount?: boolean | undefined;
}

/**
 * What a server would find wrong with an account's claims: the rules of the Go library (jwt v2), by which servers refuse
 * an account's JWT, and of nats-server, which leaves a part of it out and goes on. Takes JSON of any shape and never
 * throws; types and unknown fields are the schema's matter.
 */
export function validateAccountClaims(claims: AccountClaims, about: AboutAccount = {}): ClaimFault[] {
  const faults = new Faults();
  const fields: LooseObject = objectOf(claims);
  const limits = objectOf(fields.limits);
  checkLimits(limits, faults, about.systemAccount === true);
  checkImports(fields, about, faults);
  checkExports(fields, faults);
  checkExportLimits(fields, limits, faults);
  checkPermissions(objectOf(fields.default_permissions), 'default_permissions', faults);
  checkMappings(objectOf(fields.mappings), faults);
  checkAuthorization(objectOf(fields.authorization), faults);
  checkTrace(fields.trace, faults);
  checkTraffic(textOf(fields.cluster_traffic), faults);
  checkInfo(fields, '', faults);
  checkTags(fields, faults);
  return faults.list;
}

function checkMappings(mappings: LooseObject, faults: Faults): void {
  for (const [source, targets] of Object.entries(mappings)) {
    const path = memberPath('mappings', source);
    const fault = subjectFault(source);
    if (fault) faults.add(path, fault);
    const weights = new Map<string, number>();
    const seen = new Set<string>();
    for (const [index, target] of listOf(targets).map(objectOf).entries()) {
      const subject = textOf(target.subject);
      const wrong = targetFault(subject, source) ?? (seen.has(subject) ? 'This is there twice.' : undefined);
      if (wrong) faults.add(`${path}[${index}].subject`, wrong);
      seen.add(subject);
      const cluster = textOf(target.cluster);
      // Without a cluster no weight is the whole; with one it is none.
      const weight = numberOf(target.weight) || (cluster === '' ? 100 : 0);
      if (!(Number.isInteger(weight) && weight >= 0 && weight <= 100))
        faults.add(`${path}[${index}].weight`, 'A weight is a percentage from 0 to 100.');
      weights.set(cluster, (weights.get(cluster) ?? 0) + weight);
    }
    for (const [cluster, sum] of weights)
      if (sum > 100)
        faults.add(
          path,
          `The weights${cluster && ` of cluster ${shown(cluster)}`} add up to ${sum}, over 100.`,
        );
  }
}

/** Where a mapping goes: by functions such as {{wildcard(1)}} or $1, never by a bare `*`. */
function targetFault(target: string, source: string): string | undefined {
  const fault = subjectFault(target.replace(/\{\{[^{}]*\}\}/g, 'x'));
  if (fault) return fault;
  if (endsOpen(target) !== endsOpen(source))
    return 'Either both this and the subject mapped end in > or neither does.';
  if (wildcardCount(target) > 0)
    return 'Wildcards of the subject mapped are named here by number: $1 or {{wildcard(1)}}.';
  const count = wildcardCount(source);
  const wrong = tokensOf(target)
    .map((token) => /^(?:\$|\{\{\s*wildcard\(\s*)(\d+)(?:\s*\)\s*\}\})?$/i.exec(token)?.[1])
    .find((number) => number !== undefined && (Number(number) < 1 || Number(number) > count));
  return wrong && `The subject mapped has no wildcard number ${wrong}.`;
}

function checkAuthorization(fields: LooseObject, faults: Faults): void {
  const users = textsOf(fields.auth_users);
  const accounts = textsOf(fields.allowed_accounts);
  if (accounts.length > 0 && users.length === 0)
    faults.add('authorization.auth_users', 'Auth callout needs at least one user that answers it.');
  for (const [index, key] of users)
    if (!isPublicKey(key, 'user'))
      faults.add(`authorization.auth_users[${index}]`, 'This is not the public key of a user.');
  for (const [index, key] of accounts) {
    const path = `authorization.allowed_accounts[${index}]`;
    if (key === '*' && accounts.length > 1) faults.add(path, '* must be alone.');
    if (key !== '*' && !isPublicKey(key, 'account'))
      faults.add(path, 'This is neither the public key of an account nor *.');
  }
  const xkey = textOf(fields.xkey);
  if (xkey !== '' && !isPublicKey(xkey, 'curve'))
    faults.add('authorization.xkey', 'This is not a public curve key.');
}

function checkTrace(value: unknown, faults: Faults): void {
  if (value === undefined || value === null) return;
  const { dest, sampling } = objectOf(value);
  const fault = literalFault(textOf(dest));
  if (fault) faults.add('trace.dest', fault);
  const percent = sampling ?? 0;
  if (!(Number.isInteger(percent) && (percent as number) >= 0 && (percent as number) <= 100))
    faults.add('trace.sampling', 'Sampling is a percentage from 1 to 100.');
}

function checkTraffic(traffic: string, faults: Faults): void {
  if (!['', 'system', 'owner'].includes(traffic))
    faults.add('cluster_traffic', 'Cluster traffic is carried by "system" or "owner".');
}
