import { Problem } from '@gatehouse/kit';
import Type from 'typebox';

/** When something shall expire. */
export const ExpiryTime = Type.String({
  maxLength: 40,
  pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?(Z|[+-]\\d{2}:\\d{2})$',
  description: 'RFC 3339; whole seconds, in the future.',
});

/** Far enough for everything, and still a time to Postgres and to every server. */
const YEAR_MAX = 2200;

/** The time, in whole seconds as JWTs have it. @throws Problem `invalid_request` when it is none, or not to come */
export function expiryOf(text: string | null | undefined): Date | null {
  if (text === undefined || text === null) return null;
  const at = new Date(text);
  if (Number.isNaN(at.getTime()) || at.getUTCFullYear() > YEAR_MAX)
    throw new Problem('invalid_request', { detail: `expires_at is not a time before the year ${YEAR_MAX}.` });
  at.setUTCMilliseconds(0);
  if (at.getTime() <= Date.now())
    throw new Problem('invalid_request', {
      detail:
        'expires_at must lie in the future: servers do not apply what has expired. Delete or lock it instead.',
    });
  return at;
}
