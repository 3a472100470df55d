import { hkdfSync, randomBytes } from 'node:crypto';
import { auth } from '@gatehouse/auth';
import { createLog, newId, parseKeyring, type Running, run, sealedKeyId } from '@gatehouse/kit';
import { type ApiAnswer, type ApiOptions, apiOf } from '@gatehouse/kit/testing';
import { createNkey } from '@gatehouse/nats-claims';
import { token } from '@gatehouse/token';
import { type SealedRow, sealedFor } from './secret.ts';
import { natsIdentity } from './service.ts';
import { startNatsIdentity, type TestNatsIdentity } from './testing.ts';

/** A key as `openssl rand -base64 32` prints it. */
export const newEncryptionKey = (): string => randomBytes(32).toString('base64');

/** Settings of a ring: its keys by their ids, and which one shall seal. */
export const ringOf = (keys: Readonly<Record<string, string>>, current: string) => ({
  ENCRYPTION_KEYS: Object.entries(keys)
    .map(([id, key]) => `${id}:${key}`)
    .join(','),
  ENCRYPTION_CURRENT_KEY_ID: current,
});

/** The key ring of a platform under test, behind the API and through it. */
export interface TestEncryption extends TestNatsIdentity {
  /** What services show each other. */
  readonly credential: string;
  readonly keys: { readonly k1: string; readonly k2: string };
  /** Another process of all three services on the same database and bus; `close` ends it too. */
  another(overrides?: Record<string, string>): Promise<Running>;
  /** Asks as the platform's administrator; of another process with `at`. */
  ask(method: string, path: string, body?: unknown, at?: string): Promise<ApiAnswer>;
  /** GET /api/nats/encryption. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into the answer as it is.
  show(): Promise<any>;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into the answer as it is.
  key(id: string): Promise<any>;
  /** Seals seeds of new users under a key, behind the API; returns the ids of their records. */
  seal(count: number, keyId: string): Promise<string[]>;
  /** Opens some records as they lie there now; throws when one does not open. */
  openSome(count: number): Promise<number>;
  /** Records by the key that their row and their text name; they must be the same. */
  records(): Promise<Record<string, number>>;
  sql<Row extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<Row[]>;
  /** As if what happened to a key had happened a minute earlier. */
  aged(): Promise<unknown>;
}

/** A platform of one process with k1, and what its ring's tests need. */
export async function startEncryption(overrides: Record<string, string> = {}): Promise<TestEncryption> {
  const keys = { k1: newEncryptionKey(), k2: newEncryptionKey() };
  const service = await startNatsIdentity({ ...ringOf({ k1: keys.k1 }, 'k1'), ...overrides });
  const { platform, root } = service;
  const { ENCRYPTION_KEYS } = ringOf(keys, 'k1');
  const ring = parseKeyring(ENCRYPTION_KEYS, 'k1');
  const others: Running[] = [];
  const sql = (text: string, values: unknown[] = []) => platform.database.query(text, values);
  const ask: TestEncryption['ask'] = (method, path, body, at = platform.url) => {
    const options: ApiOptions = { token: root.token };
    return apiOf(at).request(method, `/api/nats/encryption${path}`, body, options);
  };
  const show = async () => (await ask('GET', '')).body;
  return {
    ...service,
    credential: credentialOf(platform.env.GATEHOUSE_SECRET ?? ''),
    keys,
    ask,
    show,
    sql: sql as TestEncryption['sql'],
    async another(changes = {}) {
      const env = { ...platform.env, ...changes, PORT: '0' };
      const running = await run([auth, token, natsIdentity], {
        env,
        log: createLog({ level: 'silent', pretty: false }),
      });
      others.push(running);
      return running;
    },
    key: async (id) => (await show()).keys.find((key: { id: string }) => key.id === id),
    async seal(count, keyId) {
      ring.usePrimary(keyId);
      const rows = Array.from({ length: count }, () => {
        const [id, key] = [newId(), createNkey('user')];
        return {
          id,
          public_key: key.publicKey,
          sealed: ring.seal(key.seed(), sealedFor('user', id, key.publicKey)),
        };
      });
      await sql(
        `insert into natsid.secret (id, kind, public_key, sealed, key_id)
         select id, 'user', public_key, sealed, $2
         from jsonb_to_recordset($1::jsonb) as r (id uuid, public_key text, sealed text)`,
        [JSON.stringify(rows), keyId],
      );
      return rows.map(({ id }) => id);
    },
    async openSome(count) {
      const rows = await platform.database.query<SealedRow>(
        `select id, kind, public_key, sealed from natsid.secret where kind = 'user' order by random() limit $1`,
        [count],
      );
      for (const { id, kind, public_key, sealed } of rows)
        ring.open(sealed, sealedFor(kind, id, public_key)).fill(0);
      return rows.length;
    },
    async records() {
      const rows = (await sql('select key_id, sealed from natsid.secret')) as {
        key_id: string;
        sealed: string;
      }[];
      const counts: Record<string, number> = {};
      for (const { key_id, sealed } of rows) {
        if (sealedKeyId(sealed) !== key_id) throw new Error(`a row says ${key_id}, its text another key`);
        counts[key_id] = (counts[key_id] ?? 0) + 1;
      }
      return counts;
    },
    aged: () =>
      sql(`update natsid.encryption_key set retiring_at = retiring_at - interval '1 minute',
             created_at = created_at - interval '1 minute'`),
    async close() {
      await Promise.all(others.map((one) => one.stop()));
      await service.close();
    },
  };
}

function credentialOf(secret: string): string {
  const root = Buffer.from(secret, 'base64url');
  const info = 'gatehouse/v1/service-credential';
  return Buffer.from(hkdfSync('sha256', root, Buffer.alloc(0), info, 32)).toString('base64url');
}
