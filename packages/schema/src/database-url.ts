/** The database URL is not one that Postgres clients understand. The message never contains the URL. */
export class InvalidDatabaseUrl extends Error {
  override readonly name = 'InvalidDatabaseUrl';
  constructor() {
    super(
      'the database URL is not understood: it must look like postgres://user:password@host:5432/database',
    );
  }
}

export interface DatabaseUrl {
  /** The URL without its `options` parameter. */
  readonly url: string;
  /** The login name in it, or '' when it names none. */
  readonly user: string;
  /** What its `options` parameter said, or ''. */
  readonly options: string;
}

/**
 * Takes the start-up options out of a URL, because `pg` lets those in the URL replace the ones given in code, and
 * that would silently drop the role.
 */
export const splitDatabaseUrl = (text: string): DatabaseUrl => {
  const match = /^postgres(?:ql)?:\/\/(?:([^:@/?#]*)(?::[^@/?#]*)?@)?[^?#]*(?:\?([^#]*))?$/.exec(text.trim());
  if (match === null) throw new InvalidDatabaseUrl();
  const query = new URLSearchParams(match[2] ?? '');
  const options = query.get('options') ?? '';
  const user = query.get('user') ?? decodeUser(match[1] ?? '');
  query.delete('options');
  const base = text.trim().split('?', 1)[0] ?? '';
  const rest = query.toString();
  return { url: rest === '' ? base : `${base}?${rest}`, user, options };
};

const decodeUser = (encoded: string): string => {
  try {
    return decodeURIComponent(encoded);
  } catch {
    throw new InvalidDatabaseUrl();
  }
};
