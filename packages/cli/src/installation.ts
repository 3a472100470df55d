import { addressOf, profileNamed, readProfiles } from './profile.ts';

/** Which installation a command speaks to. */
export interface Installation {
  readonly url: string;
  readonly profile?: string | undefined;
  readonly tenant?: string | undefined;
  /** What has decided it, for people. */
  readonly source: string;
}

/** What may say which. */
export interface InstallationChoice {
  readonly url?: string | undefined;
  readonly profile?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Where `npm start` listens unless told otherwise. */
export const ADDRESS_DEFAULT = 'http://localhost:8080';

/**
 * The first of these that is given decides: `--url`, `--profile`, GATEHOUSE_URL, GATEHOUSE_PROFILE, the profile in use,
 * the installation of this checkout (GATEHOUSE_LOCAL_URL, set by `npm run gatehouse`), http://localhost:8080.
 * @throws Fault (2)
 */
export function chooseInstallation({
  url,
  profile,
  env = process.env,
}: InstallationChoice = {}): Installation {
  if (url !== undefined) return { url: addressOf(url), source: '--url' };
  if (profile !== undefined) return named(profile, '--profile');
  if (env.GATEHOUSE_URL) return { url: addressOf(env.GATEHOUSE_URL), source: 'GATEHOUSE_URL' };
  if (env.GATEHOUSE_PROFILE) return named(env.GATEHOUSE_PROFILE, 'GATEHOUSE_PROFILE');
  const { current } = readProfiles();
  if (current !== undefined) return named(current, 'the profile in use');
  if (env.GATEHOUSE_LOCAL_URL)
    return { url: addressOf(env.GATEHOUSE_LOCAL_URL), source: 'npm start in this checkout' };
  return { url: ADDRESS_DEFAULT, source: 'nothing else was said' };
}

function named(profile: string, source: string): Installation {
  const { url, tenant } = profileNamed(profile);
  return { url: addressOf(url), profile, tenant, source };
}

let chosen: Installation | undefined;

/** Notes which installation this run of the command speaks to. */
export function useInstallation(installation: Installation): void {
  chosen = installation;
}

/** The profile whose sign-in counts at an address in this run; undefined where none was chosen. */
export const profileAt = (url: string): string | undefined =>
  chosen?.url === url ? chosen.profile : undefined;
