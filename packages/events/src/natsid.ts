import Type, { type TProperties } from 'typebox';
import { event, type Severity } from './event.ts';

const nullable = Type.Union([Type.String(), Type.Null()]);

/** Who did it, from where, and why; all null when the platform did it by itself. */
const by = { actor_id: nullable, reason: nullable, client_ip: nullable, user_agent: nullable };
/** One changed claim: its path in the JWT's `nats` section, and what stood and stands there. Never a seed or a JWT. */
const changes = Type.Array(
  Type.Object({ path: Type.String(), before: Type.Unknown(), after: Type.Unknown() }),
);
const object = { ...by, id: Type.String(), name: Type.String(), public_key: Type.String() };
const account = { ...by, account_id: Type.String(), account_key: Type.String() };
const cluster = { cluster_id: Type.String(), cluster: Type.String() };

const done = <T extends string, P extends TProperties>(
  type: T,
  severity: Severity,
  summary: string,
  properties: P,
) => event(type, { severity, outcome: 'success', summary }, properties);
const failed = <T extends string, P extends TProperties>(
  type: T,
  severity: Severity,
  summary: string,
  properties: P,
) => event(type, { severity, outcome: 'failure', summary }, properties);

const objects = [
  done('natsid.operator.created', 'warning', 'A NATS operator was made or imported.', {
    ...object,
    root_key: Type.Union([Type.Literal('held'), Type.Literal('offline')]),
  }),
  done('natsid.operator.changed', 'warning', 'A NATS operator was changed.', { ...object, changes }),
  done('natsid.operator.deleted', 'warning', 'A NATS operator was deleted.', object),
  done('natsid.operator.key_added', 'warning', 'An operator got a signing key.', {
    ...object,
    key: Type.String(),
  }),
  done('natsid.operator.key_activated', 'warning', 'An operator signing key signs: every server trusts it.', {
    ...object,
    key: Type.String(),
  }),
  done(
    'natsid.operator.key_retiring',
    'warning',
    'An operator signing key signs no more; what it signed is being signed anew.',
    { ...object, key: Type.String(), accounts: Type.Integer() },
  ),
  done('natsid.operator.key_removed', 'warning', 'An operator lost a signing key.', {
    ...object,
    key: Type.String(),
  }),
  done('natsid.account.created', 'notice', 'A NATS account was made or imported.', {
    ...object,
    operator_id: Type.String(),
  }),
  done('natsid.account.changed', 'notice', 'A NATS account was changed.', { ...object, changes }),
  done(
    'natsid.account.locked',
    'warning',
    'A NATS account was locked: nobody connects. First step of its deletion, or its tenant is disabled.',
    {
      ...object,
      purge_consent: Type.Boolean(),
    },
  ),
  done('natsid.account.restored', 'warning', 'A locked NATS account was opened again.', object),
  done('natsid.account.purged', 'warning', 'The streams of a NATS account were deleted.', object),
  done(
    'natsid.account.deleted',
    'warning',
    'A NATS account is deleted on every server; its tombstone stays.',
    object,
  ),
  done(
    'natsid.account.returned',
    'warning',
    'A deleted NATS account came back on a server and was deleted again.',
    {
      ...object,
      servers: Type.Array(Type.String()),
    },
  ),
  done('natsid.account.key_added', 'notice', 'A NATS account got a signing key.', {
    ...account,
    key: Type.String(),
  }),
  done(
    'natsid.account.key_removed',
    'warning',
    'A NATS account lost a signing key; its users are closed out.',
    {
      ...account,
      key: Type.String(),
    },
  ),
  done('natsid.activation.issued', 'notice', 'An activation token lets another account import.', {
    ...account,
    subject: Type.String(),
    for_account: Type.String(),
    expires_at: nullable,
  }),
  done('natsid.role.created', 'notice', 'A role (scoped signing key) was made.', {
    ...object,
    account_id: Type.String(),
  }),
  done('natsid.role.changed', 'warning', 'A role was changed; connections of its users were closed.', {
    ...object,
    account_id: Type.String(),
    changes,
    users: Type.Integer(),
  }),
  done('natsid.role.deleted', 'warning', 'A role was deleted.', { ...object, account_id: Type.String() }),
  done('natsid.user.created', 'notice', 'A NATS user was made or imported.', {
    ...object,
    account_id: Type.String(),
  }),
  done('natsid.user.changed', 'notice', 'A NATS user was changed.', {
    ...object,
    account_id: Type.String(),
    changes,
  }),
  done('natsid.user.deleted', 'warning', 'A NATS user was deleted and what it held revoked.', {
    ...object,
    account_id: Type.String(),
  }),
  done('natsid.credentials.issued', 'notice', 'Credentials were issued to a NATS user.', {
    ...account,
    nats_user_id: Type.String(),
    nats_user: Type.String(),
    credential_id: Type.String(),
    public_key: Type.String(),
    bearer: Type.Boolean(),
    expires_at: nullable,
  }),
  done(
    'natsid.credentials.revoked',
    'warning',
    'Credentials of a NATS user, or of a whole account, were revoked.',
    {
      ...account,
      /** `*`: everybody in the account. */
      public_key: Type.String(),
      count: Type.Integer(),
    },
  ),
  done('natsid.revocation.dropped', 'info', 'A revocation went: everything that it named has expired.', {
    ...account,
    public_key: Type.String(),
  }),
  done('natsid.allowance.changed', 'warning', 'What a tenant may have under an operator was changed.', {
    ...by,
    operator_id: Type.String(),
    before: Type.Unknown(),
    after: Type.Unknown(),
  }),
  done('natsid.nsc.imported', 'warning', 'An nsc store was imported.', {
    ...by,
    operator_id: Type.String(),
    accounts: Type.Integer(),
    users: Type.Integer(),
    keys: Type.Integer(),
  }),
  done(
    'natsid.nsc.exported',
    'critical',
    'An operator was exported; `seeds` says whether its private keys went along.',
    {
      ...by,
      operator_id: Type.String(),
      accounts: Type.Integer(),
      users: Type.Integer(),
      seeds: Type.Boolean(),
    },
  ),
] as const;

const clusters = [
  done('natsid.cluster.created', 'notice', 'A NATS cluster was registered.', {
    ...by,
    ...cluster,
    operator_id: Type.String(),
  }),
  done('natsid.cluster.changed', 'notice', 'A NATS cluster was changed.', { ...by, ...cluster, changes }),
  done(
    'natsid.cluster.deleted',
    'warning',
    'A NATS cluster is no longer managed; nothing was deleted on it.',
    { ...by, ...cluster },
  ),
  done('natsid.cluster.synced', 'info', 'A full look at a cluster ended.', {
    ...by,
    ...cluster,
    accounts: Type.Integer(),
    pushed: Type.Integer(),
    proven: Type.Integer(),
    failed: Type.Integer(),
    foreign: Type.Integer(),
  }),
  failed('natsid.cluster.unhealthy', 'critical', 'A NATS cluster became unhealthy.', {
    ...cluster,
    causes: Type.Array(Type.String()),
  }),
  done('natsid.cluster.recovered', 'notice', 'A NATS cluster is healthy again.', cluster),
  failed('natsid.cluster.drifted', 'warning', 'Servers hold or enforce something else than what is wanted.', {
    ...cluster,
    account_key: Type.String(),
    servers: Type.Array(Type.String()),
    cause: Type.String(),
  }),
  failed('natsid.cluster.foreign_account', 'warning', 'Servers hold an account that nobody here owns.', {
    ...cluster,
    account_key: Type.String(),
    issuer: nullable,
    servers: Type.Array(Type.String()),
  }),
  failed(
    'natsid.sync.failed',
    'warning',
    'An account could not be proven on every server; it is tried again.',
    {
      ...cluster,
      ...account,
      servers: Type.Array(Type.String()),
      cause: Type.String(),
      attempts: Type.Integer(),
    },
  ),
] as const;

const encryption = [
  done('natsid.encryption.staged', 'notice', 'A new key of the ring was seen for the first time.', {
    ...by,
    key_id: Type.String(),
  }),
  done('natsid.encryption.primary', 'warning', 'A key of the ring seals from now on.', {
    ...by,
    key_id: Type.String(),
    former: nullable,
  }),
  done('natsid.encryption.drained', 'notice', 'No record needs a key of the ring any more.', {
    ...by,
    key_id: Type.String(),
  }),
  done('natsid.encryption.destroyed', 'warning', 'A key of the ring was given up for good.', {
    ...by,
    key_id: Type.String(),
  }),
  done('natsid.encryption.reencrypted', 'notice', 'Re-encryption ended.', {
    ...by,
    key_id: Type.String(),
    records: Type.Integer(),
  }),
  failed('natsid.encryption.failed', 'critical', 'Re-encryption stopped: a record does not open.', {
    ...by,
    key_id: Type.String(),
    record: Type.String(),
  }),
] as const;

/** NATS identities, their clusters, and the keys that their seeds lie under. */
export const natsidEvents = [...objects, ...clusters, ...encryption] as const;
