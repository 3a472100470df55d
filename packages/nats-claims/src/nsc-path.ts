/** Bounds of one store: enough for a hundred thousand users, not for an archive that unpacks without end. */
export const NSC_FILES_MAX = 250_000;
export const NSC_BYTES_MAX = 256 * 1024 * 1024;
const PATH_LENGTH_MAX = 1024;
const DEPTH_MAX = 16;

/** Why a path of an uploaded folder is not followed; undefined when it is a plain relative one. */
export function pathFault(path: string): string | undefined {
  if (path === '' || path.length > PATH_LENGTH_MAX) return 'The path is empty or too long.';
  if (!path.isWellFormed() || /\p{Cc}/u.test(path)) return 'The path has control characters.';
  if (path.includes('\\') || /^[A-Za-z]:/.test(path)) return 'The path is not written with / only.';
  const parts = path.split('/');
  if (parts[0] === '') return 'The path is absolute.';
  if (parts.length > DEPTH_MAX) return 'The path is too deep.';
  return parts.some((part) => part === '' || part === '.' || part === '..')
    ? 'The path goes up, or has empty parts.'
    : undefined;
}

/** The last part of a path. */
export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** The folder of a path; '' for none. */
export const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

const reserved = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/**
 * Names as names of files, for one folder: letters, digits, spaces and `_ - . $ @ + = , ( )` stay, anything else becomes
 * `%` and the bytes' hexadecimal digits, so that no name leads elsewhere and no two meet, not even where case is not
 * told apart.
 */
export class FileNames {
  readonly #taken = new Set<string>();

  /** The file's name of a name; `unique` (a public key) tells two of the same name apart. */
  of(name: string, unique: string): string {
    const escaped = [...name.toWellFormed().trim().normalize('NFC')]
      .map((one, index, all) => (isPlain(one, index, all.length) ? one : percent(one)))
      .join('');
    const short = Buffer.byteLength(escaped) > 150 ? '' : escaped;
    const safe = reserved.test(short) ? `${percent(short.charAt(0))}${short.slice(1)}` : short;
    const file = safe === '' || this.#taken.has(safe.toLowerCase()) ? `${safe}~${unique}` : safe;
    this.#taken.add(file.toLowerCase());
    return file;
  }
}

function isPlain(one: string, index: number, length: number): boolean {
  if (/[\p{L}\p{N}\p{M}_$@+=,()]/u.test(one)) return true;
  if (one === '-') return index > 0;
  return (one === ' ' || one === '.') && index > 0 && index < length - 1;
}

const percent = (one: string): string =>
  [...Buffer.from(one)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
