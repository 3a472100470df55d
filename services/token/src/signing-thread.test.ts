import { generateKeyPairSync } from 'node:crypto';
import { compactVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { signerOf } from './signing-key.ts';

const pairs = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
};

describe('the signing thread', () => {
  it('signs what comes together with several keys, each with its own, as jose verifies', async () => {
    const signers = Object.entries(pairs).map(([algorithm, { privateKey, publicKey }]) => ({
      algorithm,
      publicKey,
      signer: signerOf(privateKey, algorithm),
    }));
    await Promise.all(
      Array.from({ length: 30 }, async (_, at) => {
        const one = signers[at % signers.length];
        if (one === undefined) throw new Error('no signer');
        const token = await one.signer.sign(JSON.stringify({ at }));
        const { payload, protectedHeader } = await compactVerify(token, one.publicKey);
        expect(protectedHeader).toEqual({ alg: one.algorithm, typ: 'at+jwt', kid: one.algorithm });
        expect(JSON.parse(Buffer.from(payload).toString())).toEqual({ at });
      }),
    );
  });
});
