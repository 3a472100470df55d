import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** The operating-system account a server runs as. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
}

/**
 * Postgres refuses to run as root. For root: the account `postgres` where there is one, else `nobody`
 * (it must have a row in passwd, initdb asks for its name). For anybody else: undefined, no change.
 */
export function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const rows = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const fields = rows.find((row) => row.startsWith(`${name}:`))?.split(':');
    const uid = Number(fields?.[2]);
    const gid = Number(fields?.[3]);
    if (fields && Number.isInteger(uid) && uid > 0) return { name, uid, gid };
  }
  return undefined;
}

/** The first folder on the way to `path` that the account may not pass; undefined when the way is open. */
export function closedFolderOnWay(path: string, account: Account): string | undefined {
  for (let folder = path; ; folder = dirname(folder)) {
    const stat = statSync(folder, { throwIfNoEntry: false });
    if (stat) {
      const bit = stat.uid === account.uid ? 0o100 : stat.gid === account.gid ? 0o010 : 0o001;
      if ((stat.mode & bit) === 0) return folder;
    }
    if (dirname(folder) === folder) return undefined;
  }
}
