import { join } from 'node:path';
import { findFreePort, findNatsServer, startNats, temporaryHome } from '@gatehouse/embedded';
import { createNkey, encodeJwt, formatCreds } from '@gatehouse/nats-claims';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';

/** The keys of an operator made for one measurement. */
export type BenchOperator = ReturnType<typeof benchOperator>;

/** nats-servers in operator mode with full resolvers, empty. */
export interface BenchCluster {
  readonly urls: string[];
  /** As a user of the system account. */
  readonly nc: NatsConnection;
  close(): Promise<void>;
}

const unlimited = {
  limits: {
    subs: -1,
    data: -1,
    payload: -1,
    imports: -1,
    exports: -1,
    wildcards: true,
    conn: -1,
    leaf: -1,
    streams: -1,
    consumer: -1,
    max_ack_pending: -1,
    mem_max_stream_bytes: -1,
    disk_max_stream_bytes: -1,
  },
};

/** Makes the keys and JWTs of an operator. */
export function benchOperator() {
  const [root, signing, system, user] = [
    createNkey('operator'),
    createNkey('operator'),
    createNkey('account'),
    createNkey('user'),
  ];
  const iat = Math.floor(Date.now() / 1_000);
  const userJwt = encodeJwt(
    { sub: user.publicKey, name: 'bench', iat },
    { type: 'user', subs: -1, data: -1, payload: -1 },
    system,
  );
  return {
    root,
    signing,
    iat,
    systemKey: system.publicKey,
    jwt: encodeJwt(
      { sub: root.publicKey, name: 'bench', iat },
      { type: 'operator', signing_keys: [signing.publicKey], system_account: system.publicKey },
      root,
    ),
    systemJwt: encodeJwt(
      { sub: system.publicKey, name: 'SYS', iat },
      { type: 'account', ...unlimited },
      signing,
    ),
    creds: formatCreds({ jwt: userJwt, seed: user.seed().toString() }),
    claims: unlimited,
    /** An account with the usual claims. */
    account(name: string) {
      const { publicKey } = createNkey('account');
      return {
        name,
        publicKey,
        jwt: encodeJwt({ sub: publicKey, name, iat }, { type: 'account', ...unlimited }, signing),
      };
    },
  };
}

/** Starts servers that know the operator and none of its accounts. */
export async function benchCluster(operator: BenchOperator, count: number): Promise<BenchCluster> {
  const home = temporaryHome('gatehouse-bench-nats-');
  const { path: binary } = findNatsServer();
  const routes: number[] = [];
  for (let index = 0; index < count; index += 1) routes.push(await findFreePort());
  const servers = await Promise.all(
    routes.map((_, index) =>
      startNats({
        home: join(home.path, `s${index}`),
        binary,
        serverName: `s${index}`,
        config: configOf(operator, join(home.path, `s${index}`, 'jwt'), routes, index),
      }),
    ),
  );
  const urls = servers.map(({ url }) => url);
  const nc = await connect({
    servers: urls,
    authenticator: credsAuthenticator(Buffer.from(operator.creds)),
  });
  while ((await askAll(nc, '$SYS.REQ.SERVER.PING', '', count)) < count);
  return {
    urls,
    nc,
    async close() {
      await nc.close();
      await Promise.all(servers.map((server) => server.stop()));
      home.remove();
    },
  };
}

function configOf(operator: BenchOperator, dir: string, routes: readonly number[], index: number): string {
  const others = routes.filter((_, at) => at !== index).map((port) => `"nats://127.0.0.1:${port}"`);
  return `
operator: ${operator.jwt}
system_account: ${operator.systemKey}
resolver { type: full, dir: ${JSON.stringify(dir)}, allow_delete: true, interval: "2m" }
resolver_preload: { ${operator.systemKey}: ${operator.systemJwt} }
${others.length > 0 ? `cluster { name: "bench", listen: "127.0.0.1:${routes[index]}", routes: [${others}] }` : ''}`;
}

/** Asks once, and says how many answered: the raw request and reply that everything else is built on. */
export function askAll(
  nc: NatsConnection,
  subject: string,
  payload: string,
  expect: number,
): Promise<number> {
  return new Promise((resolve) => {
    let count = 0;
    const inbox = `_INBOX.${crypto.randomUUID()}`;
    const end = () => {
      clearTimeout(timer);
      subscription.unsubscribe();
      resolve(count);
    };
    const timer = setTimeout(end, 2_000);
    const subscription = nc.subscribe(inbox, {
      callback() {
        count += 1;
        if (count === expect) end();
      },
    });
    nc.publish(subject, payload, { reply: inbox });
  });
}
