import { type ClaimFault, Faults } from './claim-fault.ts';
import type { RoleTemplate, UserClaims } from './claims.ts';
import { isObject, type LooseObject, objectOf } from './loose-json.ts';
import { subjectFault } from './subject.ts';
import { templateFault } from './template.ts';
import { checkTags } from './validate-info.ts';
import { checkPermissions, checkUserLimits } from './validate-permissions.ts';

/** The only fields that the JWT of a user with a role may have: the role says the rest. */
const ofScoped = new Set(['tags', 'type', 'version', 'issuer_account']);

/**
 * What a server would find wrong with a user's claims. `scoped`: the user has a role, so that its JWT must carry no
 * permission and no limit at all; even `subs: -1` or `src: []` is an authorization violation (nats-protocol §b.2).
 */
export function validateUserClaims(
  claims: UserClaims,
  { scoped }: { readonly scoped: boolean },
): ClaimFault[] {
  const faults = new Faults();
  const fields: LooseObject = objectOf(claims);
  checkTags(fields, faults);
  if (scoped) {
    for (const [key, value] of Object.entries(fields)) {
      const empty = (key === 'pub' || key === 'sub') && isObject(value) && Object.keys(value).length === 0;
      if (!ofScoped.has(key) && !empty)
        faults.add(key, 'A user with a role has no permissions and limits of its own: the role has them.');
    }
    return faults.list;
  }
  checkPermissions(fields, '', faults);
  checkUserLimits(fields, faults);
  return faults.list;
}

/** What a server would find wrong with a role's template, its functions such as `{{name()}}` among it. */
export function validateRoleTemplate(template: RoleTemplate): ClaimFault[] {
  const faults = new Faults();
  const fields: LooseObject = objectOf(template);
  checkPermissions(fields, '', faults, {
    whole: templateFault,
    subject: (text) => subjectFault(filled(text)),
  });
  checkUserLimits(fields, faults);
  if (fields.tags !== undefined) faults.add('tags', 'A role has no tags; its users have.');
  return faults.list;
}

/** A subject with something in the place of every function; what comes there is judged by the server at sign-in. */
const filled = (subject: string): string => subject.replace(/\{\{[^{}]*\}\}/g, 'x');
