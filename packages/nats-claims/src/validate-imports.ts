import { activationFaults } from './activation.ts';
import { type Faults, memberPath, shown } from './claim-fault.ts';
import { type LooseObject, listOf, numberOf, objectOf, textOf } from './loose-json.ts';
import { isPublicKey } from './nkey.ts';
import { endsOpen, hasWildcards, subjectFault, tokensOf, wildcardCount } from './subject.ts';
import { SubjectSet } from './subject-set.ts';

/** Whose imports these are, as far as it is known; tokens are checked against it. */
export interface Importer {
  readonly publicKey?: string | undefined;
  /** Now, in seconds since 1970; when given, tokens that have expired are faults. */
  readonly nowSeconds?: number | undefined;
}

/**
 * `imports` of an account, each for itself and the services of one exporter against each other. Servers of 2.10 refuse
 * the same name from two exporters too (tried); newer ones share the requests out, so it is no fault here.
 */
export function checkImports(claims: LooseObject, importer: Importer, faults: Faults): void {
  const imports = listOf(claims.imports).map(objectOf);
  for (const [index, one] of imports.entries())
    checkImport(one, memberPath('imports', index), importer, faults);
  const services = [...imports.entries()].filter(([, one]) => one.type === 'service');
  const byExporter = Map.groupBy(services, ([, one]) => textOf(one.account));
  for (const ofOne of byExporter.values()) {
    const set = new SubjectSet();
    for (const [index, one] of ofOne) set.add(localName(one), index);
    for (const [index, one] of ofOne) {
      const cover = faults.full ? undefined : set.coverOf(localName(one), index);
      if (cover !== undefined)
        faults.add(
          memberPath('imports', index),
          `In this account it is called ${shown(localName(one))}, which imports[${cover}] of the same account covers already.`,
        );
    }
    if (set.exhausted) faults.add('imports', 'The service imports have too many wildcards to be told apart.');
  }
  const most = objectOf(claims.limits).imports;
  if (most !== undefined && most !== -1 && imports.length > numberOf(most))
    faults.add(
      'imports',
      `There are ${imports.length} imports, and limits.imports allows ${numberOf(most)}.`,
    );
}

/** The subject by which the importing account knows an import: references such as $1 stand for a wildcard. */
function localName(one: LooseObject): string {
  const renamed = textOf(one.local_subject)
    .split('.')
    .map((token) => (/^\$\d+$/.test(token) ? '*' : token))
    .join('.');
  return textOf(one.to) || renamed || textOf(one.subject);
}

function checkImport(one: LooseObject, path: string, importer: Importer, faults: Faults): void {
  const at = (key: string) => memberPath(path, key);
  const subject = textOf(one.subject);
  const fault = subjectFault(subject);
  if (fault) faults.add(at('subject'), fault);
  if (one.type !== 'service' && one.type !== 'stream')
    faults.add(at('type'), 'An import is a stream or a service.');
  if (one.type !== 'service' && one.share === true)
    faults.add(at('share'), 'This is for imports of type service only.');
  if (one.type === 'service' && one.allow_trace === true)
    faults.add(at('allow_trace'), 'This is for imports of type stream only.');
  const account = textOf(one.account);
  if (!isPublicKey(account, 'account'))
    faults.add(at('account'), 'This is not the public key of an account.');
  if (account !== '' && account === importer.publicKey)
    faults.add(at('account'), 'An account cannot import from itself.');
  const [local, to] = [textOf(one.local_subject), textOf(one.to)];
  if (local !== '' && to !== '') faults.add(at('to'), 'local_subject replaces this: give one of them.');
  if (to !== '') checkTo(one, to, at('to'), faults);
  if (local !== '' && fault === undefined) checkRenaming(local, subject, at('local_subject'), faults);
  if (textOf(one.token) !== '')
    for (const one_ of activationFaults(textOf(one.token), wanted(one, importer)))
      faults.add(at('token'), one_);
}

function checkTo(one: LooseObject, to: string, path: string, faults: Faults): void {
  const fault = subjectFault(to);
  if (fault) faults.add(path, fault);
  else if (one.type === 'stream' && hasWildcards(to))
    faults.add(path, 'For a stream this is a prefix, which cannot have wildcards.');
}

const wanted = (one: LooseObject, importer: Importer) => ({
  exporter: textOf(one.account),
  importer: importer.publicKey,
  type: one.type === 'service' ? ('service' as const) : ('stream' as const),
  subject: (one.type === 'service' && textOf(one.to)) || textOf(one.subject),
  nowSeconds: importer.nowSeconds,
});

/** A local name has every wildcard of the subject: as `*`, or by its number as `$1` (jwt v2, RenamingSubject). */
function checkRenaming(local: string, subject: string, path: string, faults: Faults): void {
  const fault = subjectFault(local);
  if (fault) {
    faults.add(path, fault);
    return;
  }
  if (endsOpen(local) !== endsOpen(subject)) {
    faults.add(path, 'Either both this and the subject end in > or neither does.');
    return;
  }
  const count = wildcardCount(subject);
  const references = tokensOf(local).filter((token) => /^\$\d+$/.test(token));
  const wrong = references.find((token) => Number(token.slice(1)) < 1 || Number(token.slice(1)) > count);
  if (wrong) faults.add(path, `${wrong} stands for a wildcard that ${shown(subject)} does not have.`);
  else if (references.length + wildcardCount(local) !== count)
    faults.add(path, `This must have the ${count} wildcards of ${shown(subject)}, as * or $1 … $${count}.`);
}
