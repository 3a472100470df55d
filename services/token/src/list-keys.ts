import { pageOf, Time } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from './context.ts';

const MaybeTime = Type.Union([Time, Type.Null()]);
const Key = Type.Object({
  kid: Type.String(),
  algorithm: Type.String(),
  state: Type.String({
    description: 'next, current, previous or retired; published: a further key of the environment.',
  }),
  source: Type.Union([Type.Literal('environment'), Type.Literal('managed')]),
  created_at: MaybeTime,
  published_at: MaybeTime,
  activates_at: MaybeTime,
  activated_at: MaybeTime,
  retires_at: MaybeTime,
  retired_at: MaybeTime,
});

/** More keys than this an installation has only after decades. */
const KEYS_MAX = 200;

/** The signing keys, those of the environment first, then the newest; retired ones too. */
export const listKeys = route({
  method: 'GET',
  path: '/api/admin/keys',
  access: 'platform.read',
  summary: 'Signing keys and their states',
  answer: pageOf(Key),
  problems: ['database_unavailable'],
  run: (ctx) => async () => {
    const rows = await ctx.db
      .selectFrom('signing_key')
      .select([
        'kid',
        'algorithm',
        'state',
        'created_at',
        'published_at',
        'activates_at',
        'activated_at',
        'retires_at',
        'retired_at',
      ])
      .orderBy('created_at', 'desc')
      .orderBy('kid')
      .limit(KEYS_MAX)
      .execute();
    const signing = ctx.ring.source === 'environment' ? ctx.ring.signer().kid : undefined;
    const environment = ctx.ring.environment.map(({ kid, alg }) => ({
      kid,
      algorithm: alg,
      state: kid === signing ? 'current' : 'published',
      source: 'environment' as const,
      ...{ created_at: null, published_at: null, activates_at: null },
      ...{ activated_at: null, retires_at: null, retired_at: null },
    }));
    const managed = rows.map((row) => ({
      ...row,
      source: 'managed' as const,
      created_at: text(row.created_at),
      published_at: text(row.published_at),
      activates_at: text(row.activates_at),
      activated_at: text(row.activated_at),
      retires_at: text(row.retires_at),
      retired_at: text(row.retired_at),
    }));
    return { items: [...environment, ...managed], next_cursor: null };
  },
});

const text = (time: Date | null): string | null => time?.toISOString() ?? null;
