import { questions, settingsOfOneProcess } from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import { route } from './context.ts';
import { askEach, ServiceFilter, Unreachable } from './each-service.ts';

const nullable = Type.Union([Type.String(), Type.Null()]);

const Reading = Type.Object({
  services: Type.Array(Type.String(), { description: 'Services that read it so.' }),
  set: Type.Boolean({ description: 'Whether it was given; of a secret that is all there is to see.' }),
  source: Type.Union([Type.Literal('default'), Type.Literal('environment'), Type.Literal('file')]),
  value: nullable,
  host: { ...nullable, description: 'Where a secret URL leads, without its login.' },
});

const Item = Type.Object({
  name: Type.String(),
  kind: Type.String(),
  secret: Type.Boolean(),
  default: nullable,
  drift: Type.Boolean({ description: 'Services read it differently, though it is not each one’s own.' }),
  readings: Type.Array(Reading),
});

type Item = Static<typeof Item>;

/** The settings as the processes that run have read them: not what a file says, but what is in force. */
export const showSettings = route({
  method: 'GET',
  path: '/api/admin/settings',
  access: 'platform.read',
  summary: 'The settings in force, per service; secrets only as set or not set',
  query: Type.Object({ service: Type.Optional(ServiceFilter) }, { additionalProperties: false }),
  answer: Type.Object({
    items: Type.Array(Item),
    next_cursor: Type.Null(),
    unreachable: Unreachable,
  }),
  problems: [],
  run:
    (ctx) =>
    async ({ query, trace }) => {
      const { answers, unreachable } = await askEach(
        ctx,
        { only: query.service, trace },
        (service, options) => ctx.peer.ask(questions.settingsOf(service), {}, options),
      );
      const read = answers.flatMap(({ service, answer }) =>
        answer.settings.map((setting) => ({ service, setting })),
      );
      const items = [...Map.groupBy(read, ({ setting }) => setting.name).values()].map(itemOf);
      return { items, next_cursor: null, unreachable: [...unreachable] };
    },
});

type Read = { readonly service: string; readonly setting: questions.SettingInForce };

function itemOf(reads: readonly Read[]): Item {
  const alike = [...Map.groupBy(reads, ({ setting }) => readingKey(setting)).values()];
  const readings = alike.flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { set, source, value, host } = first.setting;
    return [{ services: group.map(({ service }) => service), set, source, value, host }];
  });
  const about = reads[0]?.setting;
  if (about === undefined) throw new Error('a setting that nobody has read');
  const { name, kind, secret, default: fallback } = about;
  const values = new Set(
    readings.map(({ set, value, host }) => JSON.stringify([secret && set, value, host])),
  );
  return {
    ...{ name, kind, secret, default: fallback, readings },
    // Where a value comes from may differ: what acts is the value.
    drift: values.size > 1 && !settingsOfOneProcess.has(name),
  };
}

const readingKey = ({ set, source, value, host }: questions.SettingInForce): string =>
  JSON.stringify([set, source, value, host]);
