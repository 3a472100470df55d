import Type from 'typebox';
import { administered, event } from './event.ts';

const user = { ...administered, user_id: Type.String() };

/** What administrators do, each with its reason. */
export const adminEvents = [
  event(
    'admin.user.created',
    {
      severity: 'notice',
      outcome: 'success',
      summary: 'An administrator account was made at the first start.',
    },
    { ...user, role: Type.String() },
  ),
  event(
    'admin.user.role_changed',
    { severity: 'warning', outcome: 'success', summary: 'The role of a user changed.' },
    { ...user, before: Type.String(), after: Type.String() },
  ),
  event(
    'admin.user.status_changed',
    { severity: 'warning', outcome: 'success', summary: 'A user was locked, unlocked or disabled.' },
    { ...user, before: Type.String(), after: Type.String() },
  ),
  event(
    'admin.tenant.created',
    { severity: 'notice', outcome: 'success', summary: 'A tenant was made.' },
    { ...administered, name: Type.String(), registration: Type.String() },
  ),
  event(
    'admin.tenant.changed',
    {
      severity: 'warning',
      outcome: 'success',
      summary: 'A tenant was disabled, enabled or its registration changed.',
    },
    {
      ...administered,
      before: Type.Record(Type.String(), Type.String()),
      after: Type.Record(Type.String(), Type.String()),
    },
  ),
  event(
    'admin.sessions.revoked',
    {
      severity: 'warning',
      outcome: 'success',
      summary: 'Sessions of a user, a tenant or everybody were ended.',
    },
    {
      ...administered,
      scope: Type.Union([Type.Literal('user'), Type.Literal('tenant'), Type.Literal('everybody')]),
      user_id: Type.Union([Type.String(), Type.Null()]),
      count: Type.Integer(),
    },
  ),
] as const;
