import { Problem, Uuid } from '@gatehouse/kit';
import {
  type Listen,
  type PreloadedAccount,
  ServerConfigError,
  type ServerConfigOptions,
  serverConfig as write,
} from '@gatehouse/nats-claims';
import type { OperatorTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import Type, { type Static } from 'typebox';
import { type NatsIdentityContext, route } from '../context.ts';

const text = (description: string, maxLength = 256) =>
  Type.Optional(Type.String({ minLength: 1, maxLength, description }));
// nats-server takes no spaces in names.
const word = (description: string) => Type.Optional(Type.String({ pattern: '^\\S{1,128}$', description }));
// A query string has no numbers.
const whole = (description: string) => Type.Optional(Type.String({ pattern: '^[0-9]{1,15}$', description }));
const address = (description: string) =>
  Type.Optional(
    Type.String({ pattern: '^([A-Za-z0-9._-]{1,253}:|\\[[0-9A-Fa-f:.]{2,45}\\]:)?[0-9]{1,5}$', description }),
  );
const flag = (description: string) => Type.Optional(Type.Enum(['true', 'false'], { description }));

const Query = Type.Object(
  {
    resolver: Type.Optional(
      Type.Enum(['full', 'cache', 'memory'], { description: 'Where servers keep accounts; default full.' }),
    ),
    resolver_dir: text(
      'Folder of the resolver; each server its own, on a disk that stays. Default ./jwt.',
      1024,
    ),
    interval_seconds: whole('full: how often servers compare what they keep.'),
    ttl_seconds: whole('cache: how long an account is good for.'),
    limit: whole('Accounts that a server keeps; a full resolver refuses more.'),
    allow_delete: flag('full: whether accounts can be deleted; default true.'),
    server_name: word('Each server needs its own.'),
    listen: address('Where clients connect, as 0.0.0.0:4222.'),
    monitoring: address('Where the monitoring page is, as 127.0.0.1:8222.'),
    cluster: word('Name of the cluster.'),
    cluster_listen: address('Where the other servers connect, as 0.0.0.0:6222.'),
    routes: text('The other servers, as nats://host:6222, with commas between.', 4096),
    jetstream: flag('With JetStream.'),
    store_dir: text('JetStream: folder of its streams; default ./jetstream.', 1024),
    max_memory: whole('JetStream: most bytes in memory.'),
    max_file: whole('JetStream: most bytes on disk.'),
    domain: text('JetStream: its domain.', 128),
  },
  { additionalProperties: false },
);
type Query = Static<typeof Query>;

export const serverConfig = route({
  method: 'GET',
  path: '/api/nats/operators/:id/server-config',
  access: 'platform.read',
  summary: 'Configuration that makes a nats-server trust an operator',
  description:
    'For nats-server 2.10 and newer. Holds public keys and JWTs only. Write `files` beside it. The memory resolver knows the accounts of now and never learns of another.',
  params: Type.Object({ id: Uuid }),
  query: Query,
  answer: Type.Object({
    config: Type.String(),
    files: Type.Array(Type.Object({ path: Type.String(), content: Type.String() })),
  }),
  problems: ['not_found', 'conflict'],
  run:
    (ctx) =>
    async ({ params, query }) => {
      const operator = await ctx.db
        .selectFrom('operator')
        .selectAll()
        .where('id', '=', params.id.toLowerCase())
        .executeTakeFirst();
      if (operator === undefined) throw new Problem('not_found');
      const [systemAccount, accounts] = await accountsOf(ctx, operator, query.resolver === 'memory');
      try {
        const { config, files } = write({
          ...optionsOf(query),
          operatorJwt: operator.jwt,
          systemAccount,
          accounts,
        });
        return { config, files: files.map((file) => ({ ...file })) };
      } catch (error) {
        if (!(error instanceof ServerConfigError)) throw error;
        throw new Problem('invalid_request', {
          detail: `No configuration can be made of this: ${error.message}.`,
        });
      }
    },
});

async function accountsOf(
  ctx: NatsIdentityContext,
  operator: Selectable<OperatorTable>,
  all: boolean,
): Promise<[PreloadedAccount, PreloadedAccount[]]> {
  if (operator.system_account_id === null)
    throw new Problem('conflict', {
      detail: 'The system account of this operator is not here; a server cannot be managed without one.',
    });
  const rows = await ctx.db
    .selectFrom('account')
    .select(['id', 'public_key', 'jwt'])
    .where('operator_id', '=', operator.id)
    .where('state', 'in', ['active', 'locked'])
    .$if(!all, (some) => some.where('id', '=', operator.system_account_id))
    .orderBy('id')
    .execute();
  const shown = rows.map(({ id, public_key, jwt }) => ({ id, publicKey: public_key, jwt }));
  const system = shown.find(({ id }) => id === operator.system_account_id);
  if (system === undefined) throw new Problem('conflict', { detail: 'The system account is being deleted.' });
  return [system, all ? shown : []];
}

type Written = Omit<ServerConfigOptions, 'operatorJwt' | 'systemAccount' | 'accounts'>;

function optionsOf(query: Query): Written {
  const { resolver = 'full', jetstream, cluster, cluster_listen: clusterListen, routes } = query;
  if ((cluster === undefined) !== (clusterListen === undefined))
    throw new Problem('invalid_request', { detail: 'cluster and cluster_listen go together.' });
  return {
    resolver,
    dir: query.resolver_dir,
    intervalSeconds: numberOf(query.interval_seconds),
    ttlSeconds: numberOf(query.ttl_seconds),
    limit: numberOf(query.limit),
    allowDelete: query.allow_delete !== 'false',
    serverName: query.server_name,
    listen: listenOf(query.listen),
    monitoring: listenOf(query.monitoring),
    ...(jetstream === 'true' && {
      jetstream: {
        storeDir: query.store_dir ?? './jetstream',
        maxMemoryBytes: numberOf(query.max_memory),
        maxFileBytes: numberOf(query.max_file),
        domain: query.domain,
      },
    }),
    ...(cluster !== undefined &&
      clusterListen !== undefined && {
        cluster: {
          name: cluster,
          listen: listenOf(clusterListen) ?? { port: 0 },
          routes: routes === undefined ? [] : routes.split(',').map((one) => one.trim()),
        },
      }),
  };
}

const numberOf = (value: string | undefined): number | undefined =>
  value === undefined ? undefined : Number(value);

function listenOf(value: string | undefined): Listen | undefined {
  if (value === undefined) return undefined;
  const colon = value.lastIndexOf(':');
  const host = value.slice(0, Math.max(0, colon)).replace(/^\[|\]$/g, '');
  return { ...(host !== '' && { host }), port: Number(value.slice(colon + 1)) };
}
