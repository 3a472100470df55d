import Type from 'typebox';
import { Problem } from './problem.ts';

/**
 * Why an administrator does something: printable text. Optional in the schema, so that leaving it out is
 * `reason_required` and not just any 400.
 */
export const Reason = Type.Optional(
  Type.String({
    maxLength: 500,
    pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]*$',
    description: 'Why; required, and kept in the audit.',
  }),
);

/** The reason as given, trimmed; empty when there is none. For rules that refuse first what one may not know of. */
export const reasonGiven = (body: { readonly reason?: string }): string => body.reason?.trim() ?? '';

/** The reason as given, trimmed. @throws Problem `reason_required` when there is none, or only spaces. */
export function reasonOf(body: { readonly reason?: string }): string {
  const given = reasonGiven(body);
  if (given === '') throw new Problem('reason_required');
  return given;
}
