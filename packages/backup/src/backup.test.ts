import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testDatabase } from '@gatehouse/kit/testing';
import { migrateUp, migrationStatus, newestMigration } from '@gatehouse/schema';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateKeyPair, parseIdentities } from './age-keys.ts';
import { type AnyDatabase, emptyDatabase, fill } from './backup-testing.ts';
import { type CreateOptions, createBackup } from './create.ts';
import type { Manifest } from './manifest.ts';
import { readBackup } from './read.ts';
import { type RestoreOptions, restoreBackup } from './restore.ts';

const home = mkdtempSync(join(tmpdir(), 'gatehouse-backup-'));
const secrets = { settings: { GATEHOUSE_SECRET: 'the-root-secret' }, files: [] };
let source: AnyDatabase;
let recipient: string;
let identities: string[];
const databases: AnyDatabase[] = [];

const tracked = async (made: Promise<AnyDatabase>): Promise<AnyDatabase> => {
  const database = await made;
  databases.push(database);
  return database;
};

beforeAll(async () => {
  source = await tracked(testDatabase());
  await fill(source);
  const keys = await generateKeyPair();
  recipient = keys.recipient;
  identities = parseIdentities(keys.identityFile, 'test');
});
afterAll(async () => {
  await Promise.all(databases.map((one) => one.drop()));
  rmSync(home, { recursive: true, force: true });
});

let files = 0;
const newPath = () => {
  files += 1;
  return join(home, `backup-${files}`);
};

const create = (about: Partial<CreateOptions> = {}) =>
  createBackup({
    databaseUrl: source.url,
    path: newPath(),
    recipients: [recipient],
    force: false,
    release: '0.1.0',
    secrets,
    ...about,
  });

async function made(about: Partial<CreateOptions> = {}): Promise<{ path: string; manifest: Manifest }> {
  const path = about.path ?? newPath();
  const { manifest } = await create({ ...about, path });
  return { path, manifest };
}

const restore = (
  databaseUrl: string,
  backup: { path: string; manifest: Manifest },
  about: Partial<RestoreOptions> = {},
) => restoreBackup({ databaseUrl, identities, replace: false, ...backup, ...about });

const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'not refused',
    (error: Error) => error.message,
  );

/** Every table of a database with its count and sum, as a backup of it has them. */
const contentOf = async (database: AnyDatabase) => {
  const { manifest } = await made({ databaseUrl: database.url, secrets: undefined });
  const tables = manifest.tables.map(({ name, rows, row_sum }) => ({ name, rows, row_sum }));
  return { tables, sequences: manifest.sequences, months: manifest.months };
};

const schemasOf = async ({ query }: AnyDatabase) =>
  (
    await query<{ nspname: string }>(`select nspname from pg_namespace where nspname !~ '^pg_' order by 1`)
  ).map(({ nspname }) => nspname);

describe('a backup', () => {
  it('restored into an empty database gives the same rows of every table, the same sequences and months', async () => {
    const backup = await made();
    const target = await tracked(emptyDatabase());
    await restore(target.url, backup);
    expect(await contentOf(target)).toEqual(await contentOf(source));
    const rows = backup.manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    expect(rows).toBeGreaterThan(300);
    expect(backup.manifest.tables.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'auth.user_account',
        'token.session',
        'audit.event',
        'natsid.secret',
        'gateway.outbox',
      ]),
    );
    // The next row takes the next number: none is given twice.
    const [row] = await target.query<{ sequence: string }>(
      `insert into auth.outbox (id, type, subject, aggregate, data) values (gen_random_uuid(), 't', 't', 'a', '{}') returning sequence`,
    );
    expect(Number(row?.sequence)).toBe(8);
  });

  it('leaves each service its rights and no more', async () => {
    const target = await tracked(emptyDatabase());
    await restore(target.url, await made());
    const grants = `select n.nspname || '.' || c.relname as name, c.relacl::text as acl from pg_class c
      join pg_namespace n on n.oid = c.relnamespace where n.nspname = any ('{auth,token,audit,gateway,natsid}') order by 1`;
    expect(await target.query(grants)).toEqual(await source.query(grants));
  });

  it('is one moment: what is committed while it is made is in it whole or not at all', async () => {
    const writer = new pg.Client({ connectionString: source.url });
    await writer.connect();
    let writing = true;
    const written = (async () => {
      for (let n = 0; writing; n += 1) {
        await writer.query('begin');
        await writer.query(`insert into auth.tenant (id, name) values (gen_random_uuid(), 'pair ${n}')`);
        await writer.query(
          `insert into token.tenant_state (tenant_id, status, version) select id, 'active', 1 from auth.tenant where name = 'pair ${n}'`,
        );
        await writer.query('commit');
      }
    })();
    const backup = await made();
    writing = false;
    await written;
    await writer.end();
    const target = await tracked(emptyDatabase());
    await restore(target.url, backup);
    const [row] = await target.query(
      `select (select count(*)::int from auth.tenant where name like 'pair %') as a, (select count(*)::int from token.tenant_state) as b`,
    );
    expect(row?.a).toBe(row?.b);
  });

  it('has mode 0600 whatever the umask, never takes the place of a file unless forced, and leaves nothing beside it', async () => {
    const folder = mkdtempSync(join(home, 'mode-'));
    const path = join(folder, 'a');
    const before = process.umask(0);
    await create({ path });
    process.umask(before);
    expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
    expect(await refusal(create({ path }))).toMatch(/is there already/);
    await create({ path, force: true });
    expect(readdirSync(folder)).toEqual(['a']);
  });

  it('to a folder that is not there, of a database that is no Gatehouse, or to a wrong key, is one line and no file', async () => {
    const empty = await tracked(emptyDatabase());
    expect(await refusal(create({ path: join(home, 'no', 'x') }))).toMatch(/cannot be written \(ENOENT\)/);
    const path = newPath();
    expect(await refusal(create({ path, databaseUrl: empty.url }))).toBe(
      'there is no Gatehouse in this database',
    );
    expect(
      await refusal(
        create({ path, recipients: [recipient.replace(/.$/, (last) => (last === 'q' ? 'p' : 'q'))] }),
      ),
    ).toMatch(/is no age recipient/);
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
    expect(readdirSync(home).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('shows nothing of what is in it, and opens for each of its recipients', async () => {
    const second = await generateKeyPair();
    const { path } = await made({ recipients: [recipient, second.recipient] });
    const bytes = readFileSync(path).toString('latin1');
    expect(bytes).not.toContain('the-root-secret');
    expect(bytes).not.toContain('u7@example.com');
    for (const keys of [identities, parseIdentities(second.identityFile, 'test')])
      expect((await readBackup({ path, identities: keys })).secrets).toEqual(secrets);
  });

  it('below its encryption is what zstd and tar open', async () => {
    const { path } = await made({ recipients: [], secrets: undefined });
    const { execFileSync } = await import('node:child_process');
    const { zstdDecompressSync } = await import('node:zlib');
    const list = execFileSync('tar', ['--list'], {
      input: zstdDecompressSync(readFileSync(path)),
    }).toString();
    expect(list.split('\n')[0]).toBe('gatehouse-backup.json');
    expect(list).toContain('data/auth.user_account/00000001.copy\n');
    expect(list.trimEnd().split('\n').at(-1)).toBe('manifest.json');
  });
});

describe('a backup that is not what was written', () => {
  const broken = (from: string, change: (bytes: Buffer) => Buffer): string => {
    const path = newPath();
    writeFileSync(path, change(readFileSync(from)));
    return path;
  };

  const places = (size: number) => Array.from({ length: 24 }, (_, at) => Math.floor((size * at) / 24));
  const flip = (place: number) => (bytes: Buffer) => {
    bytes[place] = (bytes[place] ?? 0) ^ 1;
    return bytes;
  };
  const refused = /damaged|not a backup|another key/;

  it('is refused for any flipped byte', async () => {
    const { path } = await made();
    for (const place of places(statSync(path).size)) {
      const flipped = broken(path, flip(place));
      expect(await refusal(readBackup({ path: flipped, identities })), `byte ${place}`).toMatch(refused);
    }
  });

  it('and not encrypted is refused too, but for bits that mean nothing to zstd', async () => {
    const { path, manifest } = await made({ recipients: [], secrets: undefined });
    let count = 0;
    for (const place of places(statSync(path).size)) {
      const flipped = broken(path, flip(place));
      const read = await readBackup({ path: flipped, identities }).catch((error: Error) => error.message);
      if (typeof read !== 'string') expect(read, `byte ${place}`).toEqual({ manifest, secrets: undefined });
      else expect(read, `byte ${place}`).toMatch(refused);
      count += typeof read === 'string' ? 1 : 0;
    }
    expect(count).toBeGreaterThan(18);
  });

  it.each([0, 1])('is refused wherever it is cut (recipients: %i)', async (recipients) => {
    const { path } = await made({ recipients: recipients === 0 ? [] : [recipient] });
    const size = statSync(path).size;
    for (const place of [...places(size).slice(1), size - 1]) {
      const cut = broken(path, (bytes) => bytes.subarray(0, place));
      expect(await refusal(readBackup({ path: cut, identities })), `cut at ${place}`).toMatch(refused);
    }
  });

  it('by the wrong identity, without one, or no backup at all, is one line that says so', async () => {
    const { path } = await made();
    const other = parseIdentities((await generateKeyPair()).identityFile, 'test');
    expect(await refusal(readBackup({ path, identities: other }))).toMatch(/encrypted to another key/);
    expect(await refusal(readBackup({ path, identities: [] }))).toMatch(/--identity/);
    const text = newPath();
    writeFileSync(text, 'PGDMP');
    expect(await refusal(readBackup({ path: text, identities }))).toMatch(/is not a backup of Gatehouse/);
    expect(await refusal(readBackup({ path: join(home, 'nowhere'), identities }))).toMatch(
      /cannot be read \(ENOENT\)/,
    );
  });
});

describe('a restore', () => {
  it('into a database that is not empty is refused, and with --replace leaves what the backup holds', async () => {
    const backup = await made();
    const target = await tracked(testDatabase());
    await fill(target, { events: 3 });
    const before = await contentOf(target);
    expect(await refusal(restore(target.url, backup))).toMatch(/not empty.*--replace/);
    expect(await contentOf(target)).toEqual(before);
    await restore(target.url, backup, { replace: true });
    expect(await contentOf(target)).toEqual(await contentOf(source));
  });

  it('into one that was only migrated needs no --replace', async () => {
    const target = await tracked(testDatabase());
    await restore(target.url, await made());
    expect(await contentOf(target)).toEqual(await contentOf(source));
  });

  it('beside services that are connected is refused', async () => {
    const target = await tracked(testDatabase());
    const service = new pg.Client({ connectionString: target.url, application_name: 'gatehouse-auth' });
    await service.connect();
    expect(await refusal(restore(target.url, await made()))).toMatch(
      /stop the services first: gatehouse-auth/,
    );
    await service.end();
  });

  it('never touches schemas of the same names that are not Gatehouse’s', async () => {
    const target = await tracked(emptyDatabase());
    await target.query('create schema auth');
    await target.query('create table auth.theirs (id int)');
    expect(await refusal(restore(target.url, await made(), { replace: true }))).toMatch(
      /other origin \(auth\)/,
    );
    expect(await target.query('select from auth.theirs')).toEqual([]);
  });

  it('of a newer release’s backup names that release', async () => {
    const backup = await made();
    const target = await tracked(emptyDatabase());
    const newer = { ...backup, manifest: { ...backup.manifest, migration: '9999-later', release: '9.0.0' } };
    expect(await refusal(restore(target.url, newer))).toMatch(/version 9999-later.*use release 9\.0\.0/);
    expect(await schemasOf(target)).toEqual(['information_schema', 'public']);
  });

  it.each(['the first table', 'the last table'])(
    'that fails in %s leaves the database as it was',
    async (which) => {
      const backup = await made();
      for (const target of [await tracked(emptyDatabase()), await tracked(testDatabase())]) {
        const before = await schemasOf(target);
        const tables = backup.manifest.tables.filter(({ rows }) => rows > 0);
        const at = which === 'the first table' ? 0 : tables.length - 1;
        const { name } = tables[at] ?? { name: '' };
        const wrong = backup.manifest.tables.map((table) =>
          table.name === name ? { ...table, row_sum: '0'.repeat(64) } : table,
        );
        expect(
          await refusal(restore(target.url, { ...backup, manifest: { ...backup.manifest, tables: wrong } })),
        ).toMatch(/has changed while it was being restored/);
        expect(await schemasOf(target)).toEqual(before);
      }
    },
  );

  it('that Postgres refuses in the middle of a table is rolled back', async () => {
    const other = await tracked(testDatabase());
    await fill(other);
    // A row that no migrated database takes: the constraint was dropped by hand.
    await other.query('alter table auth.user_account drop constraint user_account_role_check');
    await other.query(`update auth.user_account set role = 'KING' where email = 'u30@example.com'`);
    const backup = await made({ databaseUrl: other.url });
    const target = await tracked(emptyDatabase());
    expect(await refusal(restore(target.url, backup))).toMatch(/user_account_role_check/);
    expect(await schemasOf(target)).toEqual(['information_schema', 'public']);
  });

  it('comes to exactly the version of the backup, from which the database is migrated up', async () => {
    const old = await tracked(emptyDatabase());
    await migrateUp(old.url, { to: '0007-nats-identity' });
    await old.query(`insert into auth.tenant (id, name) values (gen_random_uuid(), 'of before')`);
    const backup = await made({ databaseUrl: old.url });
    const target = await tracked(emptyDatabase());
    await restore(target.url, backup);
    expect((await migrationStatus(target.url)).databaseVersion).toBe('0007-nats-identity');
    expect(await contentOf(target)).toEqual(await contentOf(old));
    await migrateUp(target.url);
    expect((await migrationStatus(target.url)).databaseVersion).toBe(newestMigration);
    expect(await target.query(`select from auth.tenant where name = 'of before'`)).toHaveLength(1);
  });
});
