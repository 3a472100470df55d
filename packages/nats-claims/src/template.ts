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
  /**
   * Entries into which a name or a tag brought a wildcard: whoever is called `*` gets what the role gives to everybody
   * else. Servers fill it in without a word (tried).
   */
  readonly widened: readonly string[];
  /** Why the user cannot connect at all; undefined when they can. */
  readonly refused?: string;
}

/** A list of more subjects than these refuses the user (the newest servers; earlier ones have no bound). */
export const EXPANSIONS_MAX = 4096;

const functions = /\{\{([^}]*)\}\}/g;
const plainFunctions = new Set(['name()', 'subject()', 'account-name()', 'account-subject()']);
const tagFunction = /^(account-)?tag\((.+)\)$/;

/**
 * What is wrong with the functions of one subject of a template; undefined when nothing is. Refused is what servers do
 * not know, and what those of 2.10 and of 2.15 fill in differently (tried): functions within a token, with spaces, in
 * capitals, beside a queue group, and one that gives several values twice.
 */
export function templateFault(subject: string): string | undefined {
  const seen = new Set<string>();
  for (const token of subject.split(/[. ]/)) {
    if (!/\{\{|\}\}/.test(token)) continue;
    const operation = /^\{\{([^{}]*)\}\}$/.exec(token)?.[1];
    if (operation === undefined)
      return 'A template function such as {{name()}} must be a whole token of the subject, without dots and spaces.';
    const key = tagFunction.exec(operation)?.[2];
    if (!plainFunctions.has(operation) && (key === undefined || !/^[^\s.()]+$/.test(key)))
      return `${shown(token)} is no template function; there are {{name()}}, {{subject()}}, {{account-name()}}, {{account-subject()}}, {{tag(key)}} and {{account-tag(key)}}.`;
    if (key !== undefined && seen.has(operation.toLowerCase()))
      return 'Servers fill in one tag twice in a subject differently: give it once.';
    seen.add(operation.toLowerCase());
  }
  return seen.size > 0 && subject.includes(' ')
    ? 'Servers do not fill in template functions beside a queue group.'
    : undefined;
}

/**
 * Fills a role's template in as nats-server does when the user signs in (auth.go, processUserPermissionsTemplate): every
 * combination of tags' several values; an entry of `allow` that comes to no valid subject is dropped, and everything
 * denied when none is left; an entry of `deny` that comes to none refuses the user. For templates that
 * {@link validateRoleTemplate} finds right, 2.10 and 2.15 do the same; for others this is what 2.15 does.
 */
export function previewTemplate(template: RoleTemplate, about: TemplateSubject): TemplatePreview {
  const dropped: string[] = [];
  const widened: string[] = [];
  const refusals: string[] = [];
  const side = (name: 'pub' | 'sub') => {
    const { allow: allowed = [], deny: denied = [] } = template[name] ?? {};
    const allow = fillList(allowed, about);
    const deny = fillList(denied, about);
    dropped.push(...allow.bad.map((index) => `${name}.allow[${index}]`));
    widened.push(...allow.widened.map((index) => `${name}.allow[${index}]`));
    refusals.push(
      ...allow.impossible.map((index) => `${name}.allow[${index}]`),
      ...[...deny.impossible, ...deny.bad].map((index) => `${name}.deny[${index}]`),
    );
    if (allowed.length > 0 && allow.subjects.length === 0 && !deny.subjects.includes('>'))
      deny.subjects.push('>');
    return { allow: allow.subjects, deny: deny.subjects };
  };
  const filled = { sub: side('sub'), pub: side('pub') };
  const cause = refusals[0];
  return {
    ...filled,
    dropped,
    widened,
    ...(cause !== undefined && { refused: `${cause} comes to no valid subject for this user.` }),
  };
}

interface FilledList {
  readonly subjects: string[];
  /** Entries of which some combination is no valid subject, or which have no value. */
  readonly bad: number[];
  /** Entries with a function that does not exist, or with too many combinations. */
  readonly impossible: number[];
  /** Entries that have more wildcards than they were written with. */
  readonly widened: number[];
}

function fillList(entries: readonly string[], about: TemplateSubject): FilledList {
  // A list without functions is taken as it stands.
  if (!entries.some((entry) => entry.includes('{{')))
    return { subjects: [...entries], bad: [], impossible: [], widened: [] };
  const subjects = new Set<string>();
  const [bad, impossible, widened]: [number[], number[], number[]] = [[], [], []];
  for (const [index, entry] of entries.entries()) {
    const filled = fillEntry(entry, about, EXPANSIONS_MAX - subjects.size);
    const good = filled?.filter((subject) => subjectFault(subject) === undefined);
    if (filled === undefined) impossible.push(index);
    else if (filled.length === 0 || good?.length !== filled.length) bad.push(index);
    for (const subject of good ?? []) subjects.add(subject);
    if (good?.some((subject) => wildcards(subject) > wildcards(entry))) widened.push(index);
  }
  return { subjects: [...subjects], bad, impossible, widened };
}

const wildcards = (subject: string): number =>
  subject.split('.').filter((token) => token === '*' || token === '>').length;

/** The subjects that an entry becomes; undefined when a server gives up on it. */
function fillEntry(entry: string, about: TemplateSubject, most: number): string[] | undefined {
  let filled = [entry];
  for (const [found, operation = ''] of new Map(
    [...entry.matchAll(functions)].map(([text, inner]) => [text, inner]),
  )) {
    const values = valuesOf(operation, about);
    if (values === undefined || values.length * filled.length > most) return undefined;
    filled = filled.flatMap((text) => values.map((value) => text.replaceAll(found, () => value)));
  }
  return filled;
}

/** What may stand in a function's place; undefined when there is no such function. */
function valuesOf(operation: string, { user, account }: TemplateSubject): readonly string[] | undefined {
  const name = operation.trim().toLowerCase();
  if (name === 'name()') return [user.name];
  if (name === 'subject()') return [user.publicKey];
  if (name === 'account-name()') return [account.name];
  if (name === 'account-subject()') return [account.publicKey];
  const [, ofAccount, key] = tagFunction.exec(name) ?? [];
  if (key === undefined) return undefined;
  // Tags are compared as they stand, the function's key in lower case: a tag with capitals in its key is never found.
  const prefix = `${key}:`;
  return ((ofAccount ? account : user).tags ?? [])
    .filter((tag) => tag.startsWith(prefix))
    .map((tag) => tag.slice(prefix.length));
}
