import Type, { type Static } from 'typebox';

/**
 * The `nats` sections of NATS JWTs as a caller may set them, in nats-server's own field names (jwt v2). What Gatehouse
 * keeps itself is left out: keys, revocations, type and version. Fields that nobody here knows are kept when a JWT is
 * imported, and refused when a caller makes them up.
 */

const strict = { additionalProperties: false } as const;
/** −1 is unlimited. A missing number would be 0, and 0 means none (nats-protocol §b.2): so nothing is left out. */
const limit = (description: string) =>
  Type.Integer({
    minimum: -1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: `${description}; -1: unlimited.`,
  });
const amount = (description: string) =>
  Type.Integer({
    minimum: -1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: `${description}; 0: none, -1: unlimited.`,
  });
const text = (maxLength: number, description?: string) =>
  Type.String({ maxLength, ...(description && { description }) });
const subject = (description = 'NATS subject, wildcards allowed.') =>
  Type.String({ minLength: 1, maxLength: 1024, description });
const publicKey = (letter: string) =>
  Type.String({ pattern: `^${letter}[A-Z2-7]{55}$`, description: `Public key that begins with ${letter}.` });
const tags = Type.Array(text(256), {
  maxItems: 128,
  description: 'Tags, `name` or `name:value`; servers read them in lower case.',
});

const Permission = Type.Object(
  {
    allow: Type.Optional(Type.Array(subject(), { maxItems: 4096 })),
    deny: Type.Optional(Type.Array(subject(), { maxItems: 4096 })),
  },
  strict,
);
const permissions = {
  pub: Type.Optional(Permission),
  sub: Type.Optional(Permission),
  resp: Type.Optional(
    Type.Object(
      {
        max: Type.Integer({
          minimum: -1,
          maximum: 2 ** 31 - 1,
          description: 'Replies that one request allows.',
        }),
        ttl: Type.Integer({
          minimum: -1,
          maximum: Number.MAX_SAFE_INTEGER,
          description: 'For how long, in nanoseconds.',
        }),
      },
      strict,
    ),
  ),
};

/** What a user may do, and within which limits; also the template of a role. */
const userFields = {
  ...permissions,
  src: Type.Optional(
    Type.Array(text(64, 'CIDR'), { maxItems: 256, description: 'Networks that it may connect from.' }),
  ),
  times: Type.Optional(
    Type.Array(
      Type.Object(
        {
          start: Type.String({ pattern: '^\\d{2}:\\d{2}:\\d{2}$' }),
          end: Type.String({ pattern: '^\\d{2}:\\d{2}:\\d{2}$' }),
        },
        strict,
      ),
      { maxItems: 64, description: 'Times of day that it may be connected, by the clock of the server.' },
    ),
  ),
  times_location: Type.Optional(text(64, 'IANA time zone of `times`.')),
  subs: Type.Optional(limit('Subscriptions')),
  data: Type.Optional(limit('Bytes')),
  payload: Type.Optional(limit('Bytes of one message')),
  bearer_token: Type.Optional(
    Type.Boolean({ description: 'The JWT alone signs in, without proof of its key.' }),
  ),
  proxy_required: Type.Optional(
    Type.Boolean({ description: 'Only through a trusted proxy (nats-server 2.12).' }),
  ),
  allowed_connection_types: Type.Optional(
    Type.Array(
      Type.Union([
        Type.Literal('STANDARD'),
        Type.Literal('WEBSOCKET'),
        Type.Literal('LEAFNODE'),
        Type.Literal('LEAFNODE_WS'),
        Type.Literal('MQTT'),
        Type.Literal('MQTT_WS'),
        Type.Literal('IN_PROCESS'),
      ]),
      { maxItems: 16, uniqueItems: true },
    ),
  ),
};

/** Permissions and limits of a role: the scope's `template` in the account's JWT. */
export const RoleTemplate = Type.Object(userFields, strict);
export type RoleTemplate = Static<typeof RoleTemplate>;

/** What a user's JWT says. Of a user with a role only `tags` may be there: the role says the rest. */
export const UserClaims = Type.Object({ ...userFields, tags: Type.Optional(tags) }, strict);
export type UserClaims = Static<typeof UserClaims>;

const jetStream = {
  mem_storage: Type.Optional(amount('Bytes of memory storage')),
  disk_storage: Type.Optional(amount('Bytes of disk storage')),
  streams: Type.Optional(limit('Streams')),
  consumer: Type.Optional(limit('Consumers')),
  max_ack_pending: Type.Optional(limit('Messages of one consumer not yet acknowledged')),
  mem_max_stream_bytes: Type.Optional(amount('Bytes of one memory stream (0 is unlimited too)')),
  disk_max_stream_bytes: Type.Optional(amount('Bytes of one disk stream (0 is unlimited too)')),
  max_bytes_required: Type.Optional(Type.Boolean({ description: 'Every stream must set max_bytes.' })),
};

/** JetStream limits, of an account or of one tier. */
export const JetStreamLimits = Type.Object(jetStream, strict);
export type JetStreamLimits = Static<typeof JetStreamLimits>;

/** Limits of an account. Flat JetStream limits and tiers exclude each other. */
export const AccountLimits = Type.Object(
  {
    subs: Type.Optional(limit('Subscriptions')),
    data: Type.Optional(limit('Bytes')),
    payload: Type.Optional(limit('Bytes of one message')),
    imports: Type.Optional(limit('Imports')),
    exports: Type.Optional(limit('Exports')),
    wildcards: Type.Optional(
      Type.Boolean({ description: 'Whether exports may have wildcards; default true.' }),
    ),
    disallow_bearer: Type.Optional(Type.Boolean({ description: 'Refuse bearer users.' })),
    conn: Type.Optional(limit('Client connections')),
    leaf: Type.Optional(limit('Leaf node connections')),
    ...jetStream,
    tiered_limits: Type.Optional(Type.Record(Type.String({ pattern: '^R[1-9][0-9]?$' }), JetStreamLimits)),
  },
  strict,
);
export type AccountLimits = Static<typeof AccountLimits>;

const kind = Type.Union([Type.Literal('stream'), Type.Literal('service')]);

/** What an account takes from another. */
export const Import = Type.Object(
  {
    name: Type.Optional(text(256)),
    subject: subject('Subject as the exporter names it.'),
    account: publicKey('A'),
    token: Type.Optional(text(65_536, 'Activation token of the exporter, when the export asks for one.')),
    to: Type.Optional(text(1024, 'Old form of local_subject; read, not advised.')),
    local_subject: Type.Optional(text(1024, 'Subject in this account.')),
    type: kind,
    share: Type.Optional(Type.Boolean({ description: 'Tell the exporter who asks (services).' })),
    allow_trace: Type.Optional(Type.Boolean()),
  },
  strict,
);
export type Import = Static<typeof Import>;

/** What an account offers to others. */
export const Export = Type.Object(
  {
    name: Type.Optional(text(256)),
    subject: subject(),
    type: kind,
    token_req: Type.Optional(Type.Boolean({ description: 'Importers need an activation token.' })),
    revocations: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^(\\*|A[A-Z2-7]{55})$' }),
        Type.Integer({ minimum: 0, maximum: 2 ** 53 - 1 }),
      ),
    ),
    response_type: Type.Optional(
      Type.Union([Type.Literal('Singleton'), Type.Literal('Stream'), Type.Literal('Chunked')]),
    ),
    response_threshold: Type.Optional(
      Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Nanoseconds.' }),
    ),
    service_latency: Type.Optional(
      Type.Object(
        {
          sampling: Type.Union([Type.Integer({ minimum: 0, maximum: 100 }), Type.Literal('headers')]),
          results: subject('Subject of the measurements.'),
        },
        strict,
      ),
    ),
    account_token_position: Type.Optional(Type.Integer({ minimum: 0, maximum: 1024 })),
    advertise: Type.Optional(Type.Boolean()),
    allow_trace: Type.Optional(Type.Boolean()),
    description: Type.Optional(text(8192)),
    info_url: Type.Optional(text(8192)),
  },
  strict,
);
export type Export = Static<typeof Export>;

const Mapping = Type.Object(
  {
    subject: subject('Where messages go.'),
    weight: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 100, description: 'Percent; 0 counts as 100.' }),
    ),
    cluster: Type.Optional(text(256)),
  },
  strict,
);

/** What an account's JWT says. */
export const AccountClaims = Type.Object(
  {
    imports: Type.Optional(Type.Array(Import, { maxItems: 5000 })),
    exports: Type.Optional(Type.Array(Export, { maxItems: 5000 })),
    limits: Type.Optional(AccountLimits),
    default_permissions: Type.Optional(Type.Object(permissions, strict)),
    mappings: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 1024 }), Type.Array(Mapping, { maxItems: 128 })),
    ),
    authorization: Type.Optional(
      Type.Object(
        {
          auth_users: Type.Optional(Type.Array(publicKey('U'), { maxItems: 256 })),
          allowed_accounts: Type.Optional(
            Type.Array(Type.String({ pattern: '^(\\*|A[A-Z2-7]{55})$' }), { maxItems: 4096 }),
          ),
          xkey: Type.Optional(publicKey('X')),
        },
        { ...strict, description: 'Auth callout.' },
      ),
    ),
    trace: Type.Optional(
      Type.Object(
        {
          dest: subject('No wildcards.'),
          sampling: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
        },
        strict,
      ),
    ),
    cluster_traffic: Type.Optional(
      Type.Union([Type.Literal('system'), Type.Literal('owner'), Type.Literal('')]),
    ),
    description: Type.Optional(text(8192)),
    info_url: Type.Optional(text(8192)),
    tags: Type.Optional(tags),
  },
  strict,
);
export type AccountClaims = Static<typeof AccountClaims>;

/** What an operator's JWT says. */
export const OperatorClaims = Type.Object(
  {
    account_server_url: Type.Optional(text(2048)),
    operator_service_urls: Type.Optional(Type.Array(text(2048), { maxItems: 64 })),
    assert_server_version: Type.Optional(
      Type.String({
        pattern: '^(\\d+\\.\\d+\\.\\d+)?$',
        description: 'Servers that are older refuse to start.',
      }),
    ),
    strict_signing_key_usage: Type.Optional(
      Type.Boolean({
        description: 'Accounts and users count only when signed by signing keys; default true.',
      }),
    ),
    tags: Type.Optional(tags),
  },
  strict,
);
export type OperatorClaims = Static<typeof OperatorClaims>;
