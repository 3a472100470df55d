import { createServer, type Server } from 'node:https';
import { type AddressInfo, createServer as createPlainServer, type Server as PlainServer } from 'node:net';
import { getCACertificates, setDefaultCACertificates, TLSSocket } from 'node:tls';
import { certificateUntil } from '@gatehouse/kit/testing';
import { afterEach, expect, it } from 'vitest';
import { examineCertificate, type TlsAddress, tlsAddresses } from './certificate.ts';

const trusted = getCACertificates('default');
const closing: (Server | PlainServer)[] = [];
afterEach(() => {
  setDefaultCACertificates(trusted);
  for (const server of closing.splice(0)) server.close();
});

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000);
const listen = async (server: Server | PlainServer): Promise<number> => {
  closing.push(server);
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  return (server.address() as AddressInfo).port;
};
const at = (port: number, begins: TlsAddress['begins'] = 'tls'): TlsAddress => ({
  setting: 'TEST',
  host: 'localhost',
  port,
  begins,
});

/** A server with a certificate that this process trusts, and that ends at the given time. */
async function serve(end: Date): Promise<number> {
  const pair = certificateUntil(end);
  setDefaultCACertificates([...trusted, pair.cert]);
  return listen(createServer(pair, (_request, response) => response.end()));
}

it.each([
  [100, 'ok', /ends in 100 d|ends in 99 d/],
  [10, 'warning', /ends in (?:10|9) d/],
  [1, 'failed', /ends in 2[34] h/],
  [-5, 'failed', /ended 5 d ago/],
] as const)('a certificate that ends in %i days is %s', async (days, status, finding) => {
  const found = await examineCertificate(at(await serve(inDays(days))));
  expect(found).toMatchObject({ name: 'certificate', status, finding: expect.stringMatching(finding) });
  if (status !== 'ok') expect(found.remedy).toContain('renew it');
});

it('one that this machine does not trust has failed, and says how to trust it', async () => {
  const port = await listen(
    createServer(certificateUntil(inDays(100)), (_request, response) => response.end()),
  );
  const found = await examineCertificate(at(port));
  expect(found).toMatchObject({ status: 'failed', finding: expect.stringContaining('not trusted') });
  expect(found.remedy).toContain('NODE_EXTRA_CA_CERTS');
});

it('NATS and Postgres say something in the clear first, and their certificates are found all the same', async () => {
  const pair = certificateUntil(inDays(100));
  setDefaultCACertificates([...trusted, pair.cert]);
  const nats = createPlainServer((socket) => {
    socket.write('INFO {"tls_required":true}\r\n');
    new TLSSocket(socket, { isServer: true, ...pair });
  });
  const postgres = createPlainServer((socket) => {
    socket.once('data', () => {
      socket.write('S');
      new TLSSocket(socket, { isServer: true, ...pair });
    });
  });
  expect(await examineCertificate(at(await listen(nats), 'nats'))).toMatchObject({ status: 'ok' });
  expect(await examineCertificate(at(await listen(postgres), 'postgres'))).toMatchObject({ status: 'ok' });
});

it('a server without TLS, or none at all, has failed within seconds', async () => {
  const mute = await listen(createPlainServer((socket) => socket.write('HELLO\r\n')));
  for (const address of [at(mute), at(mute, 'nats'), at(1)])
    expect(await examineCertificate(address)).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('no TLS there'),
    });
});

it('looks at every address that speaks TLS, and at no other', () => {
  const found = tlsAddresses('https://id.example.com', {
    AUTH_URL: 'http://auth:8080',
    TOKEN_URL: 'https://token:8443,https://token-2:8443',
    RATE_LIMIT_REDIS_URL: 'rediss://:secret@redis',
    NATS_URL: 'tls://n1:4222,tls://n2',
    DATABASE_URL: 'postgres://user:secret@[::1]/db?sslmode=require',
  });
  expect(found.map(({ host, port, begins }) => `${begins} ${host}:${port}`)).toEqual([
    'tls id.example.com:443',
    'tls redis:6380',
    'tls token:8443',
    'tls token-2:8443',
    'nats n1:4222',
    'nats n2:4222',
    'postgres ::1:5432',
  ]);
  expect(JSON.stringify(found)).not.toContain('secret');
});
