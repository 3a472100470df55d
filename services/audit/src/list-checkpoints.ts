import { page, pageOf, pageQuery, readPage, routesOf, Time } from '@gatehouse/kit';
import Type from 'typebox';
import type { AuditContext } from './context.ts';

const binding = { list: 'audit.checkpoints', tenantId: undefined, filters: {} };

/** The signed checkpoints, newest first. */
export const listCheckpoints = routesOf<AuditContext>()({
  method: 'GET',
  path: '/api/audit/checkpoints',
  access: 'platform.read',
  summary: 'The signed checkpoints of the audit trail, newest first',
  description: 'A checkpoint is about the trails of all tenants.',
  query: Type.Object(pageQuery, { additionalProperties: false }),
  answer: pageOf(
    Type.Object({
      size: Type.Integer({ description: 'Entries of the log of heads.' }),
      root: Type.String({ description: 'Base64, as in the note.' }),
      events: Type.Integer({ description: 'Records of all chains.' }),
      note: Type.String({ description: 'The signed note (C2SP tlog-checkpoint).' }),
      signed_at: Time,
    }),
  ),
  problems: ['bad_cursor'],
  run:
    ({ db, secrets }) =>
    async ({ query }) => {
      const request = readPage(secrets.cursorKey, query, binding);
      const rows = await db
        .selectFrom('checkpoint')
        .select(['size', 'root', 'events', 'note', 'signed_at'])
        .$if(request.after !== undefined, (rest) => rest.where('size', '<', Number(request.after?.[0])))
        .orderBy('size', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(secrets.cursorKey, rows, {
        ...request,
        binding,
        position: ({ size }) => [size],
        item: ({ size, root, events, note, signed_at }) => ({
          ...{ size, events, note },
          root: root.toString('base64'),
          signed_at: signed_at.toISOString(),
        }),
      });
    },
});
