import Type from 'typebox';
import { event } from './event.ts';

const key = {
  kid: Type.String(),
  algorithm: Type.String(),
  actor_id: Type.Union([Type.String(), Type.Null()]),
  reason: Type.String(),
};

/** The life of signing keys. */
export const tokenEvents = [
  event(
    'token.key.created',
    { severity: 'notice', outcome: 'success', summary: 'A signing key was made and published.' },
    key,
  ),
  event(
    'token.key.activated',
    { severity: 'notice', outcome: 'success', summary: 'A signing key began to sign.' },
    key,
  ),
  event(
    'token.key.rotation_requested',
    {
      severity: 'notice',
      outcome: 'success',
      summary: 'A rotation was asked for by a person or the schedule.',
    },
    key,
  ),
  event(
    'token.key.retired',
    { severity: 'notice', outcome: 'success', summary: 'A signing key left the JWKS.' },
    key,
  ),
  event(
    'token.key.revoked',
    {
      severity: 'critical',
      outcome: 'success',
      summary: 'A signing key was withdrawn at once; its tokens died.',
    },
    key,
  ),
] as const;
