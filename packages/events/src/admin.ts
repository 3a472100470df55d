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
      summary: 'An account was made by an administrator, or the first administrator at the first start.',
    },
    { ...user, email: Type.String(), role: Type.String() },
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
      summary: 'A tenant was renamed, disabled, enabled or its registration policy changed.',
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
  event(
    'admin.user.deleted',
    { severity: 'warning', outcome: 'success', summary: 'A user was deleted.' },
    { ...user, before: Type.Record(Type.String(), Type.String()) },
  ),
  event(
    'admin.tenant.deletion_scheduled',
    {
      severity: 'warning',
      outcome: 'success',
      summary: 'A tenant was disabled and will be deleted; until then that can be taken back.',
    },
    {
      ...administered,
      before: Type.Record(Type.String(), Type.String()),
      delete_after: Type.String(),
    },
  ),
  event(
    'admin.tenant.deletion_cancelled',
    { severity: 'warning', outcome: 'success', summary: 'The deletion of a tenant was taken back.' },
    { ...administered, delete_after: Type.String() },
  ),
  event(
    'admin.tenant.deleted',
    { severity: 'critical', outcome: 'success', summary: 'A tenant and its users were deleted.' },
    { name: Type.String(), users: Type.Integer() },
  ),
  event(
    'admin.sessions.cleared',
    { severity: 'info', outcome: 'success', summary: 'Sessions that had expired were removed.' },
    { ...administered, count: Type.Integer() },
  ),
  event(
    'admin.rate_limit.reset',
    { severity: 'warning', outcome: 'success', summary: 'Counters of rate limits were set back.' },
    {
      ...administered,
      of: Type.Union([Type.Literal('address'), Type.Literal('user')]),
      scopes: Type.Array(Type.String()),
      address: Type.Union([Type.String(), Type.Null()], {
        description: 'An address, or a network: whose counters were set back.',
      }),
      user_id: Type.Union([Type.String(), Type.Null()]),
      email: Type.Union([Type.String(), Type.Null()]),
    },
  ),
  event(
    'admin.dead_letter.replayed',
    { severity: 'notice', outcome: 'success', summary: 'A dead letter was put before its consumer again.' },
    { ...administered, service: Type.String(), letter_id: Type.String(), consumer: Type.String() },
  ),
  event(
    'admin.dead_letter.discarded',
    {
      severity: 'warning',
      outcome: 'success',
      summary: 'A dead letter was given up for good: what its event should have done is left undone.',
    },
    {
      ...administered,
      service: Type.String(),
      letter_id: Type.String(),
      consumer: Type.String(),
      event_id: Type.Union([Type.String(), Type.Null()], {
        description: 'Of the event in it; null: it was none that could be read.',
      }),
    },
  ),
  event(
    'admin.break_glass',
    {
      severity: 'critical',
      outcome: 'success',
      summary: 'Somebody with the password of the database made or restored a platform administrator.',
    },
    {
      ...user,
      machine: Type.String({ description: 'Name of the host and of the account that ran the command.' }),
      made: Type.Boolean({
        description: 'Whether the account was made; false: it was there and was restored.',
      }),
    },
  ),
] as const;
