import { type Faults, memberPath } from './claim-fault.ts';
import { type LooseObject, textOf, textsOf } from './loose-json.ts';

const INFO_BYTES_MAX = 8 * 1024;

/** `description` and `info_url` (jwt v2, Info). */
export function checkInfo(fields: LooseObject, path: string, faults: Faults): void {
  for (const key of ['description', 'info_url'] as const)
    if (Buffer.byteLength(textOf(fields[key])) > INFO_BYTES_MAX)
      faults.add(memberPath(path, key), `This is longer than ${INFO_BYTES_MAX} bytes.`);
  const url = textOf(fields.info_url);
  if (url !== '' && !(URL.canParse(url) && /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#\s]+/.test(url)))
    faults.add(memberPath(path, 'info_url'), 'This is not a web address with scheme and host.');
}

/** Tags are compared, and filled into subjects, as they stand: white space at their ends is never meant. */
export function checkTags(fields: LooseObject, faults: Faults): void {
  for (const [index, tag] of textsOf(fields.tags))
    if (tag.trim() !== tag || tag === '')
      faults.add(memberPath('tags', index), 'A tag cannot be empty, or begin or end with white space.');
}
