import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { nkeyFromSeed, parseCreds } from '@gatehouse/nats-claims';
import type { Authenticator, ConnectionOptions } from '@nats-io/transport-node';
import type { Log } from './log.ts';

/** The login to NATS cannot be read; the message names the setting and never holds what the file does. */
export class BusLoginError extends Error {
  override readonly name = 'BusLoginError';
}

/** How a process signs in to NATS. */
export interface BusLogin {
  /** Fit for `connect`; credentials go in as fields: the library may print a server's URL, not these. */
  readonly options: Pick<ConnectionOptions, 'authenticator' | 'user' | 'pass' | 'token'>;
  /** Looks whether it can be read now. @throws BusLoginError */
  check(): void;
}

/** Where the credentials of a process are: the file itself, or `<process>.creds` in the folder. */
export function credsFile(path: string, processName: string): string {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? join(path, `${processName}.creds`) : path;
}

/** Signs in with a `.creds` file, which is read again at each connection: what replaces it counts from then on. */
export function credsLogin(path: string, processName: string, log: Log): BusLogin {
  let warned = false;
  const read = () => {
    const file = credsFile(path, processName);
    const { jwt, seed } = readCreds(file);
    if (!warned && (statSync(file).mode & 0o077) !== 0 && process.platform !== 'win32') {
      warned = true;
      log.warn({ file }, 'NATS_CREDS can be read by others: its mode should be 0600');
    }
    return { jwt, seed };
  };
  const authenticator: Authenticator = (nonce) => {
    try {
      const { jwt, seed } = read();
      const key = nkeyFromSeed(seed, 'user');
      return { jwt, nkey: key.publicKey, sig: key.sign(nonce ?? '').toString('base64url') };
    } catch (err) {
      // Thrown from here it would end the connection for good; without credentials the server refuses, and we try again.
      log.warn({ err }, 'nats credentials cannot be read');
      return undefined as unknown as ReturnType<Authenticator>;
    }
  };
  return { options: { authenticator }, check: () => void read() };
}

function readCreds(file: string): { jwt: string; seed: string } {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new BusLoginError(`NATS_CREDS: ${file} cannot be read (${code})`);
  }
  const creds = parseCreds(bytes.toString('latin1'));
  bytes.fill(0);
  if (creds === undefined) throw new BusLoginError(`NATS_CREDS: ${file} is no credentials file`);
  try {
    nkeyFromSeed(creds.seed, 'user');
  } catch {
    throw new BusLoginError(`NATS_CREDS: ${file} holds no seed of a user`);
  }
  return creds;
}

/** Signs in with the user and password, or the token, of a URL. */
export function urlLogin({ username, password }: { username: string; password: string }): BusLogin {
  const [user, pass] = [decodeURIComponent(username), decodeURIComponent(password)];
  const options = pass !== '' ? { user, pass } : user !== '' ? { token: user } : {};
  return { options, check: () => {} };
}
