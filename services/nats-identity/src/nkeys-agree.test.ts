import { createNkey, nkeyFromSeed, verifyNkey } from '@gatehouse/nats-claims';
import { nkeys } from '@nats-io/nats-core';
import { expect, test } from 'vitest';

const kinds = [
  ['operator', nkeys.createOperator],
  ['account', nkeys.createAccount],
  ['user', nkeys.createUser],
] as const;

test.each(kinds)(
  'keys of kind %s are those of NATS’ own library: text, signature and verdict',
  (kind, create) => {
    const theirs = create();
    const ours = nkeyFromSeed(theirs.getSeed(), kind);
    expect(ours.publicKey).toBe(theirs.getPublicKey());
    const text = Buffer.from('what is signed');
    expect(Buffer.from(theirs.sign(text))).toEqual(ours.sign(text));
    expect(verifyNkey(ours.publicKey, text, theirs.sign(text))).toBe(true);

    const made = createNkey(kind);
    const read = nkeys.fromSeed(made.seed());
    expect(read.getPublicKey()).toBe(made.publicKey);
    expect(nkeys.fromPublic(made.publicKey).verify(text, made.sign(text))).toBe(true);
  },
);
