import Type from 'typebox';
import { acting, event } from './event.ts';

const email = Type.Union([Type.String(), Type.Null()]);
const strategy = Type.Literal('password');

/** What happens to people's accounts when they sign up and sign in. */
export const authEvents = [
  event(
    'auth.register.success',
    { severity: 'info', outcome: 'success', summary: 'An account was registered.' },
    { ...acting, email },
  ),
  event(
    'auth.register.failure',
    { severity: 'info', outcome: 'failure', summary: 'A registration was refused.' },
    { ...acting, email, reason: Type.String() },
  ),
  event(
    'auth.login.success',
    { severity: 'info', outcome: 'success', summary: 'Somebody signed in.' },
    { ...acting, email, session_id: Type.String(), strategy },
  ),
  event(
    'auth.login.failure',
    {
      severity: 'notice',
      outcome: 'failure',
      summary: 'A sign-in was refused; reason says why, the caller was not told.',
    },
    { ...acting, email, reason: Type.String(), strategy },
  ),
  event(
    'auth.login.blocked',
    { severity: 'warning', outcome: 'failure', summary: 'A sign-in was refused because of a lockout.' },
    { ...acting, email, retry_after_seconds: Type.Integer() },
  ),
  event(
    'auth.lockout',
    {
      severity: 'warning',
      outcome: 'unknown',
      summary: 'Failed sign-ins locked an address, or it was unlocked.',
    },
    {
      ...acting,
      email,
      action: Type.Union([Type.Literal('locked'), Type.Literal('unlocked')]),
      failures: Type.Integer(),
      locked_until: Type.Union([Type.String(), Type.Null()]),
    },
  ),
  event(
    'auth.hash_busy',
    {
      severity: 'warning',
      outcome: 'failure',
      summary: 'Password hashing refused work; at most one event a second, with the number refused.',
    },
    { count: Type.Integer(), operations: Type.Record(Type.String(), Type.Integer()) },
  ),
  event(
    'auth.password.changed',
    { severity: 'notice', outcome: 'success', summary: 'Somebody changed the password of the own account.' },
    { ...acting, session_id: Type.String() },
  ),
  event(
    'auth.password.change_refused',
    { severity: 'notice', outcome: 'failure', summary: 'A password change was refused.' },
    { ...acting, reason: Type.String() },
  ),
] as const;
