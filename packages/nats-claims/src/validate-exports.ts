import { type Faults, memberPath, shown } from './claim-fault.ts';
import { type LooseObject, listOf, numberOf, objectOf, textOf } from './loose-json.ts';
import { isPublicKey } from './nkey.ts';
import { hasWildcards, literalFault, subjectFault, tokensOf } from './subject.ts';
import { SubjectSet } from './subject-set.ts';
import { checkInfo } from './validate-info.ts';

const responseTypes = new Set(['', 'Singleton', 'Stream', 'Chunked']);

/** `exports` of an account, each for itself and all of one type against each other. */
export function checkExports(claims: LooseObject, faults: Faults): void {
  const exports = listOf(claims.exports).map(objectOf);
  for (const [index, one] of exports.entries()) checkExport(one, memberPath('exports', index), faults);
  for (const type of ['stream', 'service'] as const) {
    const set = new SubjectSet();
    const ofType = [...exports.entries()].filter(
      ([, one]) => one.type === type && subjectFault(textOf(one.subject)) === undefined,
    );
    for (const [index, { subject }] of ofType) set.add(textOf(subject), index);
    for (const [index, { subject }] of ofType) {
      const cover = faults.full ? undefined : set.coverOf(textOf(subject), index);
      if (cover !== undefined)
        faults.add(
          `exports[${index}].subject`,
          `The ${type} export ${shown(textOf(exports[cover]?.subject))} (exports[${cover}]) covers this one already.`,
        );
    }
    if (set.exhausted) faults.add('exports', `The ${type} exports have too many wildcards to be told apart.`);
  }
}

function checkExport(one: LooseObject, path: string, faults: Faults): void {
  const at = (key: string) => memberPath(path, key);
  const subject = textOf(one.subject);
  const fault = subjectFault(subject);
  if (fault) faults.add(at('subject'), fault);
  const service = one.type === 'service';
  if (!service && one.type !== 'stream') faults.add(at('type'), 'An export is a stream or a service.');
  if (!responseTypes.has(textOf(one.response_type)))
    faults.add(at('response_type'), 'A response type is Singleton, Stream or Chunked.');
  if (!service) {
    const ofServices = ['response_type', 'response_threshold', 'service_latency', 'allow_trace'] as const;
    for (const key of ofServices)
      if (one[key]) faults.add(at(key), 'This is for exports of type service only.');
  }
  if (numberOf(one.response_threshold) < 0) faults.add(at('response_threshold'), 'This cannot be negative.');
  checkLatency(one.service_latency, at('service_latency'), faults);
  if (fault === undefined) checkAccountToken(one, subject, at('account_token_position'), faults);
  for (const key of Object.keys(objectOf(one.revocations)))
    if (key !== '*' && !isPublicKey(key, 'account'))
      faults.add(memberPath(at('revocations'), key), 'This is neither the public key of an account nor *.');
  checkInfo(one, path, faults);
}

function checkLatency(value: unknown, path: string, faults: Faults): void {
  if (value === undefined || value === null) return;
  const { sampling, results } = objectOf(value);
  const percent = sampling === undefined || sampling === 'headers' ? 0 : sampling;
  if (!(Number.isInteger(percent) && (percent as number) >= 0 && (percent as number) <= 100))
    faults.add(memberPath(path, 'sampling'), 'Sampling is a percentage from 1 to 100, or "headers".');
  const fault = literalFault(textOf(results));
  if (fault) faults.add(memberPath(path, 'results'), fault);
}

function checkAccountToken(one: LooseObject, subject: string, path: string, faults: Faults): void {
  const position = numberOf(one.account_token_position);
  if (position === 0) return;
  if (tokensOf(subject)[position - 1] !== '*')
    faults.add(path, `Token ${position} of ${shown(subject)} is not *, so no account key can stand there.`);
}

/** What the account's own limits allow: how many, and with wildcards or not. */
export function checkExportLimits(claims: LooseObject, limits: LooseObject, faults: Faults): void {
  const exports = listOf(claims.exports).map(objectOf);
  const most = numberOf(limits.exports);
  if (limits.exports === undefined || most === -1) return;
  if (exports.length > most)
    faults.add('exports', `There are ${exports.length} exports, and limits.exports allows ${most}.`);
  if (limits.wildcards === true) return;
  for (const [index, { subject }] of exports.entries())
    if (hasWildcards(textOf(subject)))
      faults.add(`exports[${index}].subject`, 'Exports with wildcards are not allowed by limits.wildcards.');
}
