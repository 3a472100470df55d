import Type from 'typebox';
import { printableText } from './identity.ts';

/** The query parameter of lists that are searched. */
export const SearchText = (description: string) =>
  Type.Optional(printableText({ minLength: 1, maxLength: 320, description }));

/** A pattern of LIKE that takes what begins with the text, upper and lower case alike. Compare it with lower(…). */
export function beginsWith(text: string): string {
  return `${text
    .normalize('NFKC')
    .trim()
    .toLowerCase()
    .replace(/[\\%_]/g, '\\$&')}%`;
}
