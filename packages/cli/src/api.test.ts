import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Api } from './api.ts';
import { readSession, writeSession } from './session-file.ts';

// What the command does with its tokens, against a server that takes a refresh token once and never again: the real one
// forgives a repetition within ten seconds, which would hide what is to be seen here.

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Record<string, unknown>;
}

interface Fake {
  readonly url: string;
  readonly seen: Seen[];
  answer: (seen: Seen, response: ServerResponse) => void;
  close(): Promise<void>;
}

async function fakeInstallation(): Promise<Fake> {
  const seen: Seen[] = [];
  const server: Server = createServer(async (request, response) => {
    const one = await read(request);
    seen.push(one);
    fake.answer(one, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const fake: Fake = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    answer: (_seen, response) => json(response, 200, {}),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return fake;
}

async function read(request: IncomingMessage): Promise<Seen> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    authorization: request.headers.authorization,
    body: text === '' ? {} : JSON.parse(text),
  };
}

const json = (response: ServerResponse, status: number, body: unknown) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

/** Refreshes as the rule says: each token once; what was spent ends everything. */
function oneUse() {
  let generation = 0;
  let ended = false;
  return ({ path, authorization, body }: Seen, response: ServerResponse) => {
    if (path === '/api/auth/refresh') {
      if (ended || body.refresh_token !== `refresh-${generation}`) {
        ended = true;
        json(response, 401, { code: 'refresh_replayed', title: 'The refresh token was used before' });
        return;
      }
      generation += 1;
      json(response, 200, {
        access_token: `access-${generation}`,
        refresh_token: `refresh-${generation}`,
        expires_in: 900,
      });
    } else if (!ended && authorization === `Bearer access-${generation}`) json(response, 200, { items: [] });
    else json(response, 401, { code: 'unauthenticated', title: 'A valid access token is required' });
  };
}

const home = mkdtempSync(join(tmpdir(), 'gatehouse-api-'));
const sessions = join(home, 'config', 'sessions.json');
let one: Fake;
let other: Fake;
beforeAll(async () => {
  [one, other] = [await fakeInstallation(), await fakeInstallation()];
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  rmSync(home, { recursive: true, force: true });
});
beforeEach(() => {
  vi.stubEnv('GATEHOUSE_SESSION_FILE', sessions);
  vi.stubEnv('GATEHOUSE_TOKEN', '');
  one.seen.length = 0;
  other.seen.length = 0;
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(join(home, 'config'), { recursive: true, force: true });
});

const expired = { access_token: 'access-0', refresh_token: 'refresh-0', expires_at: 0 };
const good = { access_token: 'access-0', refresh_token: 'refresh-0', expires_at: Date.now() + 600_000 };
const refreshes = (fake: Fake) => fake.seen.filter(({ path }) => path === '/api/auth/refresh');

describe('a kept sign-in', () => {
  it('of four commands at once one renews the token, and the others use what it got', async () => {
    one.answer = oneUse();
    await writeSession({ url: one.url }, expired);
    const ran = await Promise.all([1, 2, 3, 4].map(() => command(['--url', one.url, 'keys', 'list'])));
    for (const { code, err } of ran) expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(refreshes(one)).toHaveLength(1);
    expect((await readSession({ url: one.url }))?.refresh_token).toBe('refresh-1');
  });

  it('that was refused before its time is renewed once, by whoever comes first', async () => {
    one.answer = oneUse();
    await writeSession({ url: one.url }, { ...good, access_token: 'revoked' });
    const api = new Api(one.url, undefined);
    await Promise.all([1, 2, 3].map(() => api.request('GET', '/api/admin/keys')));
    expect(refreshes(one)).toHaveLength(1);
  });

  it('a wrong password is not tried a second time', async () => {
    one.answer = (_seen, response) => json(response, 401, { code: 'invalid_credentials', title: 'Wrong' });
    await writeSession({ url: one.url }, good);
    await expect(new Api(one.url).request('POST', '/api/auth/password', {})).rejects.toThrow('Wrong');
    expect(one.seen).toHaveLength(1);
  });

  it('that has ended is forgotten, and said so', async () => {
    one.answer = (_seen, response) => json(response, 401, { code: 'session_revoked', title: 'Over' });
    await writeSession({ url: one.url }, expired);
    await expect(new Api(one.url).request('GET', '/x')).rejects.toThrow(/has ended: run "gatehouse login"/);
    expect(await readSession({ url: one.url })).toBeUndefined();
  });

  it('stays when the renewal could not be asked for', async () => {
    one.answer = (_seen, response) => json(response, 503, { title: 'Not now' });
    await writeSession({ url: one.url }, expired);
    await expect(new Api(one.url).request('GET', '/x')).rejects.toThrow('Not now');
    expect(await readSession({ url: one.url })).toEqual(expired);
  });

  it('lies in a file of mode 0600 in a folder of mode 0700, whatever the umask, and nothing is left beside it', async () => {
    const before = process.umask(0);
    try {
      await writeSession({ url: one.url }, good);
    } finally {
      process.umask(before);
    }
    expect((statSync(sessions).mode & 0o777).toString(8)).toBe('600');
    expect((statSync(join(home, 'config')).mode & 0o777).toString(8)).toBe('700');
    expect(readdirSync(join(home, 'config'))).toEqual(['sessions.json']);
  });

  it('of many commands that sign in at once each is kept', async () => {
    const urls = Array.from({ length: 8 }, (_, at) => `http://127.0.0.1:${at + 1}`);
    await Promise.all(urls.map((url) => writeSession({ url }, { ...good, access_token: url })));
    for (const url of urls) expect((await readSession({ url }))?.access_token).toBe(url);
  });

  it('the lock of a command that was killed is taken over', async () => {
    await writeSession({ url: one.url }, good);
    const { hostname } = await import('node:os');
    const gone = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => gone.once('exit', resolve));
    writeFileSync(`${sessions}.lock`, `${hostname()} ${gone.pid} x\n`);
    await writeSession({ url: other.url }, good);
    expect(await readSession({ url: other.url })).toEqual(good);
  });
});

describe('a token goes nowhere else', () => {
  it('than to the address and the profile that it was given for', async () => {
    one.answer = oneUse();
    await writeSession({ url: one.url, profile: 'a' }, good);
    for (const api of [new Api(other.url, 'a'), new Api(one.url, 'b'), new Api(one.url, undefined)])
      await expect(api.request('GET', '/x')).rejects.toThrow('not signed in');
    await new Api(one.url, 'a').request('GET', '/x');
    expect(one.seen.map(({ authorization }) => authorization)).toEqual(['Bearer access-0']);
    expect(other.seen).toEqual([]);
  });

  it.each([301, 302, 303, 307, 308])('over a redirect with %i: nothing is sent there', async (status) => {
    one.answer = (_seen, response) => response.writeHead(status, { location: `${other.url}/x` }).end();
    await writeSession({ url: one.url }, good);
    await expect(new Api(one.url).request('POST', '/x', { a: 1 })).rejects.toThrow(
      new RegExp(`redirects to ${other.url}, which is not followed`),
    );
    await expect(new Api(one.url).login({ email: 'a@example.com', password: 'secret' })).rejects.toThrow(
      'not followed',
    );
    expect(other.seen).toEqual([]);
  });

  it('unencrypted to another machine without a warning; to this one it may', async () => {
    const far = await command(['--url', 'http://nowhere.invalid', 'login', '--email', 'a@b.c'], 'x\n');
    expect(far.err).toContain('http://nowhere.invalid unencrypted');
    one.answer = oneUse();
    await writeSession({ url: one.url }, good);
    expect((await command(['--url', one.url, 'keys', 'list'])).err).toBe('');
  });
});

describe('the tenant of a profile', () => {
  it('is where an e-mail address is looked up, unless --tenant says otherwise, and narrows no list', async () => {
    one.answer = ({ path }, response) =>
      json(response, 200, path === '/api/auth/login' ? { ...good, expires_in: 900 } : { items: [] });
    expect((await command(['profile', 'add', 'kept', one.url, '--tenant', 'of-the-profile'])).code).toBe(0);
    const login = ['login', '--email', 'a@example.com'];
    expect((await command(login, 'x\n')).err).toBe('');
    expect((await command([...login, '--tenant', 'said'], 'x\n')).err).toBe('');
    expect(one.seen.map(({ body }) => body.tenant_id)).toEqual(['of-the-profile', 'said']);
    one.seen.length = 0;
    expect((await command(['admin', 'user', 'list'])).err).toBe('');
    expect(one.seen.map(({ path }) => path).join()).not.toContain('tenant');
  });
});

describe('signing out', () => {
  it('is told to the installation, and forgotten here even when it cannot be told', async () => {
    await writeSession({ url: one.url }, good);
    one.answer = (_seen, response) => json(response, 200, {});
    expect(await new Api(one.url).logout()).toBe('ended');
    expect(one.seen.at(-1)?.path).toBe('/api/auth/logout');
    await writeSession({ url: one.url }, good);
    one.answer = (_seen, response) => json(response, 503, {});
    expect(await new Api(one.url).logout()).toBe('untold');
    expect(readFileSync(sessions, 'utf8')).not.toContain('access-0');
  });

  it('a profile that is removed is signed out where it was signed in', async () => {
    one.answer = (_seen, response) => json(response, 200, {});
    expect((await command(['profile', 'add', 'gone', one.url])).code).toBe(0);
    await writeSession({ url: one.url, profile: 'gone' }, good);
    expect((await command(['profile', 'remove', 'gone'])).code).toBe(0);
    expect(one.seen.map(({ path }) => path)).toEqual(['/api/auth/logout']);
    expect(await readSession({ url: one.url, profile: 'gone' })).toBeUndefined();
  });
});

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The command as a process of its own. */
function command(args: readonly string[], input = ''): Promise<Ran> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
    env: {
      PATH: process.env.PATH,
      GATEHOUSE_SESSION_FILE: sessions,
      NODE_COMPILE_CACHE: join(repositoryRoot, '.local/compile-cache'),
    },
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}
