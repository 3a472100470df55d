import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { temporaryHome } from './home.ts';
import { searchedLogs } from './log-search.ts';
import { findLeaks } from './secret-search.ts';
import { noteBody, secretsSeen } from './secret-watch.ts';

// Made here and not random, so that each looks like what it stands for.
const seed = `SU${'A2B3C4D5'.repeat(7)}`;
const jwt = `eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIwMTkifQ.${'c2ln'.repeat(9)}`;

const home = temporaryHome('gatehouse-log-search-');
let server: Server;
let url: string;
let search: () => void;

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    response.setHeader('set-cookie', 'interaction=cookie-of-the-answer; HttpOnly');
    response.end(JSON.stringify({ items: [{ refresh_token: 'refresh-of-the-answer' }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  mkdirSync(join(home.path, 'bus/creds'), { recursive: true });
  mkdirSync(join(home.path, 'nats'));
  writeFileSync(join(home.path, 'bus/creds/auth.creds'), `-----BEGIN USER NKEY SEED-----\n${seed}\n`);
  search = searchedLogs(home.path, {
    GATEHOUSE_SECRET: 'secret-of-the-settings',
    ENCRYPTION_KEYS: 'k1:first-key-of-the-ring,k2:second-key-of-the-ring',
    DATABASE_URL: 'postgres://gatehouse:password%20of%20the%20database@127.0.0.1:1/gatehouse',
    LOG_LEVEL: 'information',
  });
  await fetch(`${url}/api/auth/login?token=token-of-the-address`, {
    method: 'POST',
    headers: { authorization: `Bearer bearer-of-the-request` },
    body: JSON.stringify({ email: 'person@example.com', password: 'a "quoted" password' }),
  }).then((answer) => answer.text());
});
afterAll(() => {
  server.close();
  home.remove();
});
beforeEach(() => {
  writeFileSync(join(home.path, 'auth.log'), '{"level":"INFO","email":"person@example.com"}\n');
  writeFileSync(join(home.path, 'nats/nats.log'), 'Server is ready\n');
});

describe('the search of what an installation logged', () => {
  it('finds nothing in logs that tell nothing', () => {
    expect(search).not.toThrow();
  });

  for (const [what, secret] of [
    ['a setting', 'secret-of-the-settings'],
    ['a key of the ring', 'second-key-of-the-ring'],
    ['a password in an address', 'password of the database'],
    ['a seed of a creds file', seed],
    ['a password that a test sent', 'a "quoted" password'],
    ['the same within JSON', JSON.stringify('a "quoted" password')],
    ['the same within a URL', encodeURIComponent('a "quoted" password')],
    ['an access token that a test sent', 'bearer-of-the-request'],
    ['a token in an address', 'token-of-the-address'],
    ['a refresh token that a test got', 'refresh-of-the-answer'],
    ['a cookie that a test got', 'cookie-of-the-answer'],
    ['a JWT that nobody has seen', jwt],
    ['a seed that nobody has seen', `SA${'B3C4D5E6'.repeat(7)}`],
    ['a login that nobody has seen', 'nats://me:unseen@127.0.0.1:4222'],
  ] as const)
    it(`finds ${what} in the log of a service and of a server, and does not repeat it`, () => {
      for (const log of ['auth.log', 'nats/nats.log']) {
        const path = join(home.path, log);
        appendFileSync(
          path,
          `{"level":"WARN","told":"x${secret}x"}\n`.replace(`x${jwt}x`, jwt).replace(/x(S[AU]\w{56})x/, '$1'),
        );
      }
      expect(search).toThrow(/auth\.log:2 tells .*"level":"WARN"[\s\S]*nats\.log:2 tells /);
      expect(search).not.toThrow(secret);
    });
});

it('a body that is nested deeper than calls may be is read to its ground', () => {
  const deep = `${'['.repeat(200_000)}{"password":"at-the-ground-of-it"}${']'.repeat(200_000)}`;
  noteBody(deep, 'a test');
  expect(findLeaks('a log', Buffer.from('at-the-ground-of-it'), secretsSeen())).toHaveLength(1);
});
