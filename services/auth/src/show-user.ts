import { route } from './context.ts';
import { readUser, UserParams, UserView } from './user-view.ts';

export const showUser = route({
  method: 'GET',
  path: '/api/admin/users/:id',
  access: 'users.read',
  summary: 'One user',
  params: UserParams,
  answer: UserView,
  problems: ['not_found'],
  run:
    (ctx) =>
    ({ principal, params }) =>
      readUser(ctx, principal, params.id.toLowerCase()),
});
