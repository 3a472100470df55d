import Type from 'typebox';

/**
 * A name of an operator, account, role, user or cluster: printable, and without space around it. What steers a terminal,
 * breaks a line, or cannot be seen (controls, bidirectional marks, zero-width characters) is refused. It may hold dots,
 * slashes and `$`: no name is ever a part of a path. But servers fill names into the subjects of roles (`{{name()}}`) as
 * they are: one with a wildcard for a token would open more than the role says.
 */
export const NameText = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^(?!\\s)(?!(?:.*[\\s.])?[*>](?:[\\s.]|$))[^\\p{C}\\p{Zl}\\p{Zp}]+(?<!\\s)$',
  description: 'Printable, at most 128 characters, no `*` or `>` for a token; compared without case.',
});

/** The public key of an account as callers send it. */
export const AccountKeyText = Type.String({
  pattern: '^A[A-Z2-7]{55}$',
  description: 'Public key of an account.',
});
/** The public key of an operator or one of its signing keys. */
export const OperatorKeyText = Type.String({
  pattern: '^O[A-Z2-7]{55}$',
  description: 'Public key of an operator, or of a signing key of one.',
});
/** `q` of every list. */
export const SearchText = Type.String({
  minLength: 1,
  maxLength: 128,
  description: 'Part of the name, without case, or the beginning of the public key.',
});
/** `tag` of every list whose objects have tags. */
export const TagText = Type.String({ minLength: 1, maxLength: 256, description: 'A tag, without case.' });
