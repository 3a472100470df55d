import { Problem, Time, Uuid } from '@gatehouse/kit';
import type { TenantTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import Type, { type Static } from 'typebox';
import type { AuthContext } from './context.ts';
import { printableText } from './identity.ts';

export const TenantParams = Type.Object({ id: Uuid });

export const TenantName = printableText({
  minLength: 1,
  maxLength: 200,
  description: 'What the tenant is called.',
});
export const TenantStatusName = Type.Union([Type.Literal('active'), Type.Literal('disabled')]);
export const RegistrationName = Type.Union(
  [Type.Literal('open'), Type.Literal('application'), Type.Literal('invite'), Type.Literal('closed')],
  {
    description:
      'Who gets an account: anybody, whoever is approved, whoever is invited, nobody by themselves.',
  },
);

/** A tenant as platform administrators see it. */
export const TenantView = Type.Object({
  tenant_id: Type.String(),
  name: Type.String(),
  status: TenantStatusName,
  registration: RegistrationName,
  delete_after: Type.Union([Time, Type.Null()], {
    description: 'When it and its users are deleted for good; null unless somebody asked for that.',
  }),
  created_at: Time,
  updated_at: Time,
});
export type TenantView = Static<typeof TenantView>;

export type TenantRow = Pick<
  Selectable<TenantTable>,
  'id' | 'name' | 'status' | 'registration' | 'delete_after' | 'created_at' | 'updated_at'
>;

export const tenantView = (row: TenantRow): TenantView => ({
  tenant_id: row.id,
  name: row.name,
  status: row.status,
  registration: row.registration,
  delete_after: row.delete_after?.toISOString() ?? null,
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
});

/** @throws Problem `not_found` */
export async function readTenant(ctx: AuthContext, id: string): Promise<TenantView> {
  const row = await ctx.db.selectFrom('tenant').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new Problem('not_found');
  return tenantView(row);
}
