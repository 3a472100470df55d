import Type from 'typebox';
import { acting, event } from './event.ts';

/** What whoever watches security wants to be woken for. */
export const securityEvents = [
  event(
    'security.refresh_replay_detected',
    {
      severity: 'critical',
      outcome: 'failure',
      summary:
        'A consumed refresh token was used again; its whole family was revoked in the same transaction.',
    },
    {
      ...acting,
      session_id: Type.String(),
      family_id: Type.String(),
      first_used_at: Type.Union([Type.String(), Type.Null()]),
      first_used_by: Type.Union([Type.String(), Type.Null()]),
    },
  ),
  event(
    'security.rate_limited',
    {
      severity: 'warning',
      outcome: 'failure',
      summary:
        'Requests were refused by a rate limit; at most one event per key and window, with their number.',
    },
    { ...acting, scope: Type.String(), limit: Type.Integer(), count: Type.Integer() },
  ),
  event(
    'security.rate_limit_store',
    {
      severity: 'warning',
      outcome: 'unknown',
      summary: 'The shared store of the rate limits was lost (limits go on in memory) or came back.',
    },
    { state: Type.Union([Type.Literal('lost'), Type.Literal('recovered')]) },
  ),
] as const;
