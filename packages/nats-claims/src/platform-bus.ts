import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import { type BusService, busServices, busTemplate } from './bus-services.ts';
import { type AccountClaims, RoleTemplate } from './claims.ts';
import { completeAccountClaims } from './complete-claims.ts';
import { formatCreds } from './creds.ts';
import { encodeJwt } from './jwt.ts';
import { createNkey, type Nkey } from './nkey.ts';
import { systemAccountExports } from './system-account.ts';

const seed = Type.String({ pattern: '^S[A-Z2-7]{57}$' });
const jwt = Type.String({ pattern: '^[\\w-]+\\.[\\w-]+\\.[\\w-]+$' });
const name = Type.String({ minLength: 1, maxLength: 64 });

/**
 * The platform's own bus with every private key: made once, kept in a private file until the nats-identity service has
 * taken it over, and gone then.
 */
export const PlatformBus = Type.Object({
  version: Type.Literal(1),
  operator: Type.Object({ name, seed, signing_seed: seed, jwt }),
  system_account: Type.Object({ name, seed, signing_seed: seed, jwt }),
  account: Type.Object({
    name,
    seed,
    jwt,
    roles: Type.Array(Type.Object({ name, description: Type.String(), seed, template: RoleTemplate })),
    users: Type.Array(Type.Object({ name, role: name, seed, jwt })),
  }),
});
export type PlatformBus = Static<typeof PlatformBus>;

/** What the servers of the bus need; nothing in it is secret. */
export const PublicBus = Type.Object({
  version: Type.Literal(1),
  operator_jwt: jwt,
  system_account: Type.Object({ public_key: Type.String(), jwt }),
  account: Type.Object({ public_key: Type.String(), jwt }),
});
export type PublicBus = Static<typeof PublicBus>;

/**
 * Makes a bus: an operator that trusts its signing key only, a system account, an account for the platform's services,
 * and in it a role and a user for each of them.
 */
export function makePlatformBus(services: readonly BusService[] = busServices): PlatformBus {
  const iat = Math.floor(Date.now() / 1000);
  const [root, operatorKey] = [createNkey('operator'), createNkey('operator')];
  const [system, systemKey] = [createNkey('account'), createNkey('account')];
  const platform = createNkey('account');
  const members = services.map((service) => ({
    name: service,
    description: descriptionOf(service),
    template: busTemplate(service),
    key: createNkey('account'),
    user: createNkey('user'),
  }));
  const operatorJwt = encodeJwt(
    { sub: root.publicKey, name: 'gatehouse', iat },
    {
      signing_keys: [operatorKey.publicKey],
      system_account: system.publicKey,
      strict_signing_key_usage: true,
      type: 'operator',
    },
    root,
  );
  const accountJwt = (key: Nkey, label: string, claims: AccountClaims, signingKeys: readonly unknown[]) =>
    encodeJwt(
      { sub: key.publicKey, name: label, iat },
      { ...completeAccountClaims(claims), signing_keys: signingKeys, type: 'account' },
      operatorKey,
    );
  const scopes = members.map(({ name: role, description, template, key }) => ({
    kind: 'user_scope',
    key: key.publicKey,
    role,
    description,
    template,
  }));
  return {
    version: 1,
    operator: {
      name: 'gatehouse',
      seed: textOf(root),
      signing_seed: textOf(operatorKey),
      jwt: operatorJwt,
    },
    system_account: {
      name: 'SYS',
      seed: textOf(system),
      signing_seed: textOf(systemKey),
      jwt: accountJwt(system, 'SYS', { exports: [...systemAccountExports] }, [systemKey.publicKey]),
    },
    account: {
      name: 'GATEHOUSE',
      seed: textOf(platform),
      jwt: accountJwt(platform, 'GATEHOUSE', platformClaims, scopes),
      roles: members.map(({ name: role, description, template, key }) => ({
        name: role,
        description,
        seed: textOf(key),
        template,
      })),
      users: members.map(({ name: service, key, user }) => ({
        name: service,
        role: service,
        seed: textOf(user),
        jwt: encodeJwt(
          { sub: user.publicKey, name: service, iat },
          { issuer_account: platform.publicKey, type: 'user' },
          key,
        ),
      })),
    },
  };
}

/** As much JetStream as the servers have: the streams of the platform are the platform's to bound. */
const platformClaims: AccountClaims = {
  description: 'Gatehouse’s own services.',
  limits: { mem_storage: -1, disk_storage: -1, imports: 0, exports: 0, leaf: 0, disallow_bearer: true },
};

const descriptionOf = (service: BusService) =>
  service === 'all-in-one' ? 'All services of Gatehouse in one process.' : `Gatehouse’s ${service} service.`;

const textOf = (key: Nkey): string => key.seed().toString('latin1');

/** The `.creds` file of each service, by its name. */
export function busCreds(bus: PlatformBus): Map<string, string> {
  return new Map(bus.account.users.map((user) => [user.name, formatCreds(user)]));
}

/** What the servers of a bus need. */
export function publicBus(bus: PlatformBus): PublicBus {
  const subject = (text: string) =>
    (JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString()) as { sub: string }).sub;
  const accountOf = ({ jwt }: { readonly jwt: string }) => ({ public_key: subject(jwt), jwt });
  return {
    version: 1,
    operator_jwt: bus.operator.jwt,
    system_account: accountOf(bus.system_account),
    account: accountOf(bus.account),
  };
}

/** Reads the file of a bus. Its private keys are in no message. @throws Error when it is none */
export function readPlatformBus(text: string): PlatformBus {
  return read(PlatformBus, text, 'not the file of a bus');
}

/** Reads the public half. @throws Error when it is none */
export function readPublicBus(text: string): PublicBus {
  return read(PublicBus, text, 'not the public half of a bus');
}

function read<S extends typeof PlatformBus | typeof PublicBus>(
  schema: S,
  text: string,
  fault: string,
): Static<S> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(fault);
  }
  if (!Value.Check(schema, value)) throw new Error(fault);
  return value as Static<S>;
}

/**
 * Lines of nats-server's configuration: operator mode with a full resolver, in which the two accounts of the bus are
 * before anything was pushed. What was pushed since is newer and wins.
 */
export function busServerConfig(bus: PublicBus, resolverFolder: string): string {
  const preload = [bus.system_account, bus.account].map((one) => `  ${one.public_key}: ${one.jwt}`);
  // A JSON string is valid here and needs no further quoting.
  return `operator: ${bus.operator_jwt}
system_account: ${bus.system_account.public_key}
resolver {
  type: full
  dir: ${JSON.stringify(resolverFolder)}
  allow_delete: true
  interval: "1m"
}
resolver_preload {
${preload.join('\n')}
}
`;
}
