import { type MigrationText, migrations } from '../migrations/index.ts';

/**
 * Adds migrations of a test to the history of its process. Before anything else of the package is imported (that goes by
 * `await import(…)`), because the names are read once.
 */
export const addToHistory = (added: Readonly<Record<string, MigrationText>>): void => {
  Object.assign(migrations, added);
};
