import Type from 'typebox';
import { route } from './context.ts';

const Pong = Type.Object({ status: Type.Literal('ok'), user_id: Type.String() });

/** Whether a token is any good: 200 for everybody who is signed in. */
export const protectedPing = route({
  method: 'GET',
  path: '/protected/ping',
  access: 'user',
  summary: 'Am I signed in',
  answer: Pong,
  problems: [],
  run:
    () =>
    async ({ principal }) => ({ status: 'ok' as const, user_id: principal.userId }),
});

/** 200 for administrators only. */
export const protectedAdminPing = route({
  method: 'GET',
  path: '/protected/admin/ping',
  access: 'users.manage',
  summary: 'Am I an administrator',
  answer: Pong,
  problems: [],
  run:
    () =>
    async ({ principal }) => ({ status: 'ok' as const, user_id: principal.userId }),
});
