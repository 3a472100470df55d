import { Problem } from '@gatehouse/kit';
import Type from 'typebox';

/** Why an administrator does something. Optional in the schema, so that a missing one gets its own problem code. */
export const Reason = Type.Optional(
  Type.String({ maxLength: 500, description: 'Why; required, and kept in the audit.' }),
);

/** @throws Problem `reason_required` when there is none, or only spaces. */
export function reasonOf({ reason }: { readonly reason?: string }): string {
  const given = reason?.trim() ?? '';
  if (given === '') throw new Problem('reason_required');
  return given;
}
