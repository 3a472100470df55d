import { shown } from './claim-fault.ts';
import type { RoleTemplate } from './claims.ts';
import { subjectFault } from './subject.ts';

/** Whom a template is filled in for. */
export interface TemplateSubject {
  readonly user: TemplateIdentity;
  readonly account: TemplateIdentity;
}

export interface TemplateIdentity {
  readonly name: string;
  readonly publicKey: string;
  readonly tags?: readonly string[] | undefined;
}

/** What a server makes of a role for one user. */
export interface TemplatePreview {
  readonly pub: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  readonly sub: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  /** Entries of `allow` lists that come to nothing for this user, as `pub.allow[0]`. */
  readonly dropped: readonly string[];
  /** Why the user cannot connect at all; undefined when they can. */
  readonly refused?: string;
}

/** More subjects than these from one entry are refused (the newest servers; earlier ones have no bound). */
export const EXPANSIONS_MAX = 4096;

// A token as a whole: that is how every server reads them.
const functionToken = /^\{\{(.*)\}\}$/s;
const plainFunctions = new Set(['name()', 'subject()', 'account-name()', 'account-subject()']);
const tagFunction = /^(account-)?tag\((.*)\)$/s;

/** What is wrong with the functions of one subject of a template; undefined when nothing is. */
export function templateFault(subject: string): string | undefined {
  for (const token of subject.split(/[. ]/)) {
    const operation = functionToken.exec(token)?.[1]?.toLowerCase();
    if (operation === undefined) {
      if (/\{\{|\}\}/.test(token))
        return 'A template function such as {{name()}} must be a whole token of the subject, without spaces.';
      continue;
    }
    const tag = tagFunction.exec(operation)?.[2];
    if (!plainFunctions.has(operation) && (tag === undefined || !/^[^\s.()]+$/.test(tag)))
      return `${shown(token)} is no template function; there are {{name()}}, {{subject()}}, {{account-name()}}, {{account-subject()}}, {{tag(key)}} and {{account-tag(key)}}.`;
  }
  return undefined;
}

/**
 * Fills a role's template in as nats-server does when the user signs in (auth.go, processUserPermissionsTemplate): every
 * combination of a tag's several values; an entry of `allow` that comes to no valid subject is dropped, and everything
 * denied when none is left; an entry of `deny` that comes to none refuses the user.
 */
export function previewTemplate(template: RoleTemplate, about: TemplateSubject): TemplatePreview {
  const dropped: string[] = [];
  const refusals: string[] = [];
  const side = (name: 'pub' | 'sub') => {
    const { allow: allowed = [], deny: denied = [] } = template[name] ?? {};
    const allow = fillList(allowed, about, (index) => dropped.push(`${name}.allow[${index}]`));
    const deny = fillList(denied, about, (index) => refusals.push(`${name}.deny[${index}]`));
    if (allowed.length > 0 && allow.length === 0 && !deny.includes('>')) deny.push('>');
    return { allow, deny };
  };
  const filled = { sub: side('sub'), pub: side('pub') };
  const cause = refusals[0];
  return {
    ...filled,
    dropped,
    ...(cause !== undefined && { refused: `${cause} comes to no valid subject for this user.` }),
  };
}

function fillList(
  entries: readonly string[],
  about: TemplateSubject,
  onBad: (index: number) => void,
): string[] {
  // A list without functions is taken as it stands.
  if (!entries.some((entry) => entry.split('.').some((token) => functionToken.test(token))))
    return [...entries];
  return entries.flatMap((entry, index) => {
    const subjects = fillEntry(entry, about);
    const good = subjects.filter((subject) => subjectFault(subject) === undefined);
    if (good.length < subjects.length) onBad(index);
    return good;
  });
}

function fillEntry(entry: string, about: TemplateSubject): string[] {
  const choices = entry.split('.').map((token) => valuesOf(token, about));
  const count = choices.reduce((product, values) => product * values.length, 1);
  // No subject at all is a bad one; and so are too many.
  if (count > EXPANSIONS_MAX) return [''];
  return choices
    .reduce<string[][]>((all, values) => all.flatMap((one) => values.map((value) => [...one, value])), [[]])
    .map((tokens) => tokens.join('.'));
}

/** What may stand in a token's place. An empty text makes the subject a bad one, as it does in the server. */
function valuesOf(token: string, { user, account }: TemplateSubject): readonly string[] {
  const operation = functionToken.exec(token)?.[1]?.toLowerCase();
  if (operation === undefined) return [token];
  if (operation === 'name()') return [user.name];
  if (operation === 'subject()') return [user.publicKey];
  if (operation === 'account-name()') return [account.name];
  if (operation === 'account-subject()') return [account.publicKey];
  const [, ofAccount, key] = tagFunction.exec(operation) ?? [];
  if (key === undefined) return [''];
  const prefix = `${key}:`;
  const values = ((ofAccount ? account : user).tags ?? [])
    .filter((tag) => tag.startsWith(prefix))
    .map((tag) => tag.slice(prefix.length));
  return values.length > 0 ? values : [''];
}
