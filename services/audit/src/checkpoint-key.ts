import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { type NoteSigner, type NoteVerifier, parseVerifierKey, verifierKeyOf } from '@gatehouse/audit-chain';
import { routesOf } from '@gatehouse/kit';
import Type from 'typebox';
import type { AuditContext } from './context.ts';

/** What checkpoints are signed with, and known by. */
export interface CheckpointKey {
  readonly signer: NoteSigner;
  readonly verifier: NoteVerifier;
  /** As verifiers take it (C2SP signed-note). */
  readonly verifierKey: string;
}

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * The Ed25519 key of a seed of 32 bytes. The name of the log is its own: two installations that were never told apart
 * have different seeds, and so different logs.
 */
export function checkpointKeyOf(seed: Buffer, origin: string | undefined): CheckpointKey {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const name =
    origin ?? `gatehouse/audit/${createHash('sha256').update(publicKey).digest('hex').slice(0, 16)}`;
  const signer = { name, privateKey };
  const verifierKey = verifierKeyOf(signer);
  return { signer, verifierKey, verifier: parseVerifierKey(verifierKey) };
}

/** The key that checkpoints verify with: keep it where the checkpoints are kept. */
export const showCheckpointKey = routesOf<AuditContext>()({
  method: 'GET',
  path: '/api/audit/checkpoint-key',
  access: 'audit.read',
  summary: 'The key that verifies the checkpoints of the audit trail',
  description: 'A verifier key of C2SP signed-note; `origin` is the name of the log.',
  answer: Type.Object({ origin: Type.String(), verifier_key: Type.String() }),
  problems: [],
  run:
    ({ checkpointKey: { signer, verifierKey } }) =>
    async () => ({ origin: signer.name, verifier_key: verifierKey }),
});
