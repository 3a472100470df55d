import { resolve } from 'node:path';

/** The folder of the workspace. */
export const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../..');
/** What is fetched for it; ignored by git, may be deleted at any time. */
export const local = resolve(root, '.local');
