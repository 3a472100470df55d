import { Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { showRevision } from '../change.ts';
import { route } from '../context.ts';
import { readAccount } from '../visible.ts';
import { AccountDetail, accountDetail } from './account-view.ts';

export const showAccount = route({
  method: 'GET',
  path: '/api/nats/accounts/:id',
  access: 'nats.read',
  summary: 'One account with its JWT',
  params: Type.Object({ id: Uuid }),
  answer: AccountDetail,
  problems: ['not_found'],
  run: (ctx) => async (call) => {
    const account = await readAccount(ctx, call.principal, call.params.id);
    showRevision(call, account.revision);
    return accountDetail(ctx.db, account);
  },
});
