import { randomBytes } from 'node:crypto';
import type { FirstAdministrator } from './first-administrator.ts';

export interface Announcement {
  url: string;
  /** Only when this start made the account. */
  administrator: FirstAdministrator | undefined;
  home: string;
  log: string;
  seconds: string;
  /** Address of the bus, when it is one of ours. */
  nats?: string | undefined;
}

/** What `npm start` prints when the platform is ready. Each curl line works alone, as printed, in any POSIX shell. */
export function announcement(about: Announcement): string {
  const lines = [`Gatehouse is ready at ${about.url}  (${about.seconds} s)`, ''];
  if (about.administrator) {
    lines.push(
      'First administrator (shown this once):',
      `  e-mail    ${about.administrator.email}`,
      `  password  ${about.administrator.password}`,
      '',
    );
  }
  lines.push('Try:', ...tries(about).map((line) => `  ${line}`), '');
  lines.push(
    `Documents  ${about.url}/docs`,
    ...(about.nats === undefined ? [] : [`NATS       ${about.nats}`]),
    `State      ${about.home}`,
    `Log        ${about.log}`,
    'Stop       Ctrl-C',
    '',
  );
  return lines.join('\n');
}

function tries({ url, administrator }: Announcement): string[] {
  if (administrator) {
    const login = post(`${url}/api/auth/login`, administrator);
    return [login, whoAmI(url, login), `curl -s ${url}/.well-known/jwks.json`];
  }
  const someone = {
    email: `you-${randomBytes(3).toString('hex')}@example.com`,
    password: randomBytes(9).toString('base64url'),
  };
  const login = post(`${url}/api/auth/login`, someone);
  return [post(`${url}/api/auth/register`, someone), login, whoAmI(url, login)];
}

function post(url: string, body: unknown): string {
  return `curl -s ${url} -H 'content-type: application/json' -d ${quoted(JSON.stringify(body))}`;
}

function whoAmI(url: string, login: string): string {
  const token = `$(${login} | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`;
  return `curl -s ${url}/api/auth/me -H "authorization: Bearer ${token}"`;
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
