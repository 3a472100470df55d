/** A NATS subject's tokens. */
export const tokensOf = (subject: string): string[] => subject.split('.');

/** Whether it has `*` or `>` as a token: these stand for others only when they are alone in theirs. */
export const hasWildcards = (subject: string): boolean =>
  tokensOf(subject).some((token) => token === '*' || token === '>');

export const wildcardCount = (subject: string): number =>
  tokensOf(subject).filter((token) => token === '*').length;

export const endsOpen = (subject: string): boolean => subject === '>' || subject.endsWith('.>');

// What nats-server takes for white space in a subject, and what its line protocol cannot carry.
const unfit = /[\s\p{Cc}]/u;

/** A line of the protocol, which the subject is only a part of (nats-server, max_control_line). */
const SUBJECT_LENGTH_MAX = 4096;

/** What is wrong with a subject, as nats-server judges it; undefined when nothing is. */
export function subjectFault(subject: string): string | undefined {
  if (subject === '') return 'A subject cannot be empty.';
  if (subject.length > SUBJECT_LENGTH_MAX) return 'A subject cannot be so long.';
  if (!subject.isWellFormed() || unfit.test(subject))
    return 'A subject cannot hold white space or control characters.';
  const tokens = tokensOf(subject);
  if (tokens.includes('')) return 'A subject cannot begin or end with a dot, or have two in a row.';
  const open = tokens.indexOf('>');
  return open >= 0 && open < tokens.length - 1 ? 'In a subject, > can only be the last token.' : undefined;
}

/** What is wrong with a subject that must not have wildcards. */
export const literalFault = (subject: string): string | undefined =>
  subjectFault(subject) ??
  (hasWildcards(subject) ? 'This subject cannot have wildcards (* or >).' : undefined);

/** Whether every subject that `inner` stands for is one of `outer`'s (jwt v2, Subject.IsContainedIn). */
export function covers(outer: string, inner: string): boolean {
  const [wide, narrow] = [tokensOf(outer), tokensOf(inner)];
  if (narrow.length < wide.length) return false;
  for (const [index, token] of wide.entries()) {
    if (token === '>' && index === wide.length - 1) return true;
    if (token !== '*' && token !== narrow[index]) return false;
  }
  return narrow.length === wide.length;
}
