import { may, type Permission, Problem, permissions, Time } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from './context.ts';

const everything = Object.keys(permissions) as Permission[];

export const me = route({
  method: 'GET',
  path: '/api/auth/me',
  access: 'user',
  summary: 'Who am I',
  answer: Type.Object({
    user_id: Type.String(),
    tenant_id: Type.String(),
    email: Type.String(),
    name: Type.Union([Type.String(), Type.Null()]),
    roles: Type.Array(Type.String()),
    permissions: Type.Array(Type.String(), { description: 'What the roles allow beyond the own account.' }),
    session_id: Type.String(),
    created_at: Time,
  }),
  problems: [],
  run:
    (ctx) =>
    async ({ principal }) => {
      const account = await ctx.db
        .selectFrom('user_account')
        .select(['email', 'name', 'created_at'])
        .where('id', '=', principal.userId)
        .where('tenant_id', '=', principal.tenantId)
        .where('status', '<>', 'deleted')
        .executeTakeFirst();
      if (account === undefined) throw new Problem('unauthenticated');
      return {
        user_id: principal.userId,
        tenant_id: principal.tenantId,
        email: account.email,
        name: account.name,
        roles: [...principal.roles],
        permissions: everything.filter((permission) => may(principal, permission)),
        session_id: principal.sessionId,
        created_at: account.created_at.toISOString(),
      };
    },
});
