import { generateKeyPairSync, sign } from 'node:crypto';

/**
 * A certificate for `localhost` that signs itself, made here because nothing in Node makes one. Of two that one client
 * trusts each needs an organization of its own: OpenSSL looks for who signed by the name.
 */
export function certificateUntil(
  end: Date,
  organization = 'test',
): { readonly key: string; readonly cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const attribute = (id: number, value: string) =>
    set(sequence(objectId([2, 5, 4, id]), der(0x0c, Buffer.from(value))));
  const name = sequence(attribute(10, organization), attribute(3, 'localhost'));
  const signedSo = sequence(objectId([1, 2, 840, 10045, 4, 3, 2]));
  const begin = new Date(Math.min(Date.now(), end.getTime()) - 86_400_000);
  const body = sequence(
    der(0x02, Buffer.from([1])),
    signedSo,
    name,
    sequence(time(begin), time(end)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = der(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, privateKey)]));
  const text = sequence(body, signedSo, signature).toString('base64').replace(/.{64}/g, '$&\n');
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function der(tag: number, content: Buffer): Buffer {
  const size = content.length;
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

const sequence = (...parts: Buffer[]): Buffer => der(0x30, Buffer.concat(parts));
const set = (...parts: Buffer[]): Buffer => der(0x31, Buffer.concat(parts));

function objectId([first = 0, second = 0, ...rest]: readonly number[]): Buffer {
  const bytes = rest.flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(0x06, Buffer.from([first * 40 + second, ...bytes]));
}

/** UTCTime: `YYMMDDhhmmssZ`. */
const time = (at: Date): Buffer =>
  der(0x17, Buffer.from(`${at.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
