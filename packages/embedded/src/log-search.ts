import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { refuseLeaks } from './secret-search.ts';
import { noteSeedsIn, noteSettings, secretsSeen, watchSecrets } from './secret-watch.ts';

/**
 * Notes what is secret of what an installation is given, and begins to note what goes over HTTP. Returns the search of
 * everything that its processes wrote, to be called when they have ended: it throws when a log tells a secret.
 *
 * @param home folder with `<process>.log`, and with the folders of its servers, which hold theirs.
 * @param otherLog log of a server that others use as well: what it held before is not searched.
 */
export function searchedLogs(
  home: string,
  env: Readonly<Record<string, string>>,
  otherLog?: string,
): () => void {
  watchSecrets();
  noteSettings(env);
  noteSeedsIn(join(home, 'bus'));
  const from = otherLog === undefined ? 0 : (statSync(otherLog, { throwIfNoEntry: false })?.size ?? 0);
  return () => {
    const logs = foldersOf(home)
      .flatMap(logsIn)
      .map((path) => logged(path));
    refuseLeaks(otherLog === undefined ? logs : [...logs, logged(otherLog, from)], secretsSeen());
  };
}

/** Not deeper: below are the data of Postgres and the streams, which are no logs and may hold anything. */
const foldersOf = (home: string): string[] => [
  home,
  ...readdirSync(home, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(home, name)),
];

const logsIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => /\.log(?:\.\d+)?$/.test(name))
    .map((name) => join(folder, name));

const logged = (path: string, from = 0) => ({
  name: basename(path),
  content: readFileSync(path).subarray(from),
});
