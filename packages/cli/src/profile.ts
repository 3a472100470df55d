import { readFileSync } from 'node:fs';
import { changingConfig, profilesPath } from './config-folder.ts';
import { Fault } from './fault.ts';
import { writeSecretFile } from './secret-file.ts';

/** An installation that has a name on this machine. */
export interface Profile {
  readonly url: string;
  /** Where an e-mail address is looked up unless `--tenant` says otherwise. */
  readonly tenant?: string | undefined;
}

/** All of them, and the one in use when nothing else is said. */
export interface Profiles {
  readonly current?: string | undefined;
  readonly profiles: Readonly<Record<string, Profile>>;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** @throws Fault (2) for what cannot name a profile */
export function profileName(text: string): string {
  if (!NAME.test(text))
    throw new Fault(`${text || 'nothing'} cannot name a profile: letters, digits, . _ and -, at most 64`, 2);
  return text;
}

/**
 * The one form of an installation's address: scheme, host and path, without a slash at the end.
 * @throws Fault (2) for what is no address, or one that holds a password
 */
export function addressOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new Fault(`${text} is not an address: use http://host:port or https://host`, 2);
  // Not shown: what stands there may be a secret.
  if (url.username !== '' || url.password !== '')
    throw new Fault('an address must not hold a user or a password: run "gatehouse login" instead', 2);
  if (url.search !== '' || url.hash !== '')
    throw new Fault(`${url.origin}${url.pathname} must not be followed by ? or #`, 2);
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

/** What is kept. @throws Fault when the file cannot be used */
export function readProfiles(): Profiles {
  const path = profilesPath();
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { profiles: {} };
    throw new Fault(`${path} cannot be read (${code ?? 'failed'})`);
  }
  const found = parse(text);
  if (found === undefined) throw new Fault(`${path} is damaged: mend it, or remove it and add profiles anew`);
  return found;
}

function parse(text: string): Profiles | undefined {
  try {
    const { current, profiles } = JSON.parse(text) as Partial<Profiles>;
    if (typeof profiles !== 'object' || profiles === null) return undefined;
    const sound = Object.entries(profiles).every(
      ([name, { url, tenant }]) =>
        NAME.test(name) && typeof url === 'string' && (tenant === undefined || typeof tenant === 'string'),
    );
    return sound ? { profiles, ...(typeof current === 'string' && { current }) } : undefined;
  } catch {
    return undefined;
  }
}

/** Changes what is kept, while no other command does. */
export const changeProfiles = (change: (before: Profiles) => Profiles): Promise<void> =>
  changingConfig(() =>
    writeSecretFile(profilesPath(), `${JSON.stringify(change(readProfiles()), null, 2)}\n`, true),
  );

/** @throws Fault (2) naming those that there are */
export function profileNamed(name: string, { profiles }: Profiles = readProfiles()): Profile {
  const found = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(profiles);
  const known = names.length === 0 ? 'there are none yet' : `there are: ${names.join(', ')}`;
  throw new Fault(`there is no profile ${name} (${known}): gatehouse profile add ${name} <address>`, 2);
}
