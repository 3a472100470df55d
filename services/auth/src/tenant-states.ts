import { isUuid, questions } from '@gatehouse/kit';
import { answer } from './context.ts';

/** What became of tenants, for services that keep things of theirs. */
export const tenantStates = answer(questions.tenantStates, (ctx) => async ({ ids }) => {
  const asked = [...new Set(ids.filter(isUuid).map((id) => id.toLowerCase()))];
  if (asked.length === 0) return { tenants: [] };
  const there = await ctx.db.selectFrom('tenant').select(['id', 'status']).where('id', 'in', asked).execute();
  const gone = await ctx.db.selectFrom('retired_id').select('id').where('id', 'in', asked).execute();
  return {
    tenants: [
      ...there.map(({ id, status }) => ({ tenant_id: id, status })),
      ...gone.map(({ id }) => ({ tenant_id: id, status: 'deleted' as const })),
    ],
  };
});
