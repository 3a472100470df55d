import { Problem, page, pageOf, pageQuery, questions, readPage } from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import { route } from './context.ts';
import { DeadLetterItem, ofService } from './dead-letter.ts';
import { askEach, ServiceFilter, Unreachable } from './each-service.ts';

/** What `replayed` says, in which the states were named before there were discarded ones. */
const states = { false: 'open', true: 'replayed', any: 'all' } as const;

const Query = Type.Object(
  {
    service: Type.Optional(ServiceFilter),
    consumer: Type.Optional(Type.String({ pattern: '^[a-z0-9-]{1,100}$' })),
    state: Type.Optional(
      Type.Union(
        [Type.Literal('open'), Type.Literal('replayed'), Type.Literal('discarded'), Type.Literal('all')],
        { description: 'open unless given: those that wait, neither replayed nor discarded.' },
      ),
    ),
    replayed: Type.Optional(
      Type.Union([Type.Literal('false'), Type.Literal('true'), Type.Literal('any')], {
        description: 'An older way to say state: false is open, true replayed, any all. Say one of them.',
        deprecated: true,
      }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
);

/** Dead letters of all services, newest first: each page is the newest of what every service has behind the cursor. */
export const listDeadLetters = route({
  method: 'GET',
  path: '/api/admin/dead-letters',
  access: 'platform.read',
  summary: 'Events that a consumer gave up on, newest first',
  query: Query,
  answer: Type.Object({ ...pageOf(DeadLetterItem).properties, unreachable: Unreachable }),
  problems: ['bad_cursor'],
  run:
    (ctx) =>
    async ({ query, trace }) => {
      const { service: only, consumer } = query;
      const state = stateOf(query);
      const binding = { list: 'gateway.dead-letters', filters: { only, consumer, state } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const [createdAt, id] = request.after ?? [];
      const asked = {
        consumer: consumer ?? null,
        state,
        before: request.after === undefined ? null : { created_at: String(createdAt), id: String(id) },
        limit: request.limit + 1,
      };
      const { answers, unreachable } = await askEach(ctx, { only, trace }, (service, options) =>
        ctx.peer.ask(questions.deadLettersOf(service), asked, options),
      );
      const rows = answers
        .flatMap(({ service, answer }) => answer.items.map((letter) => ofService(service, letter)))
        .sort((a, b) => (orderOf(a) < orderOf(b) ? 1 : -1));
      const listed = page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.created_at, row.id],
        item: (row) => row,
      });
      return { ...listed, unreachable: [...unreachable] };
    },
});

function stateOf({ state, replayed }: Static<typeof Query>): NonNullable<typeof state> {
  if (state !== undefined && replayed !== undefined)
    throw new Problem('invalid_request', { detail: 'Say state or replayed, not both.' });
  return state ?? (replayed === undefined ? 'open' : states[replayed]);
}

// Times of one form and length: their order as texts is the order in time.
const orderOf = (row: { created_at: string; id: string }): string => `${row.created_at} ${row.id}`;
