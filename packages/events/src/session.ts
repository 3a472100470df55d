import Type from 'typebox';
import { acting, event } from './event.ts';

/** The life of sessions. */
export const sessionEvents = [
  event(
    'session.created',
    { severity: 'info', outcome: 'success', summary: 'A session began.' },
    { ...acting, session_id: Type.String(), expires_at: Type.String() },
  ),
  event(
    'session.refreshed',
    { severity: 'info', outcome: 'success', summary: 'A refresh token was spent for its successor.' },
    { ...acting, session_id: Type.String(), generation: Type.Integer() },
  ),
  event(
    'session.refresh_refused',
    { severity: 'notice', outcome: 'failure', summary: 'A refresh token of a known session was refused.' },
    { ...acting, session_id: Type.String(), reason: Type.String() },
  ),
  event(
    'session.revoked',
    { severity: 'notice', outcome: 'success', summary: 'A session was ended before its time.' },
    {
      ...acting,
      session_id: Type.String(),
      reason: Type.String(),
      revoked_by: Type.Union([Type.String(), Type.Null()]),
    },
  ),
] as const;
