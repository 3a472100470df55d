import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@gatehouse/kit/testing';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, atOneMoment } from './database.ts';
import { auditEvent, newPerson, newTenant, type Platform, signIn, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';

// Search, export and verification by command; hard case 15: whoever owns the database changes the trail.
const outside = mkdtempSync(join(tmpdir(), 'gatehouse-outside-'));
const checkpoints = join(outside, 'checkpoints.txt');
const at = (name: string) => join(outside, name);
let platform: Platform;
let tenant: string;
let key: string;
const { run, done, json, close } = gatehouseFor(() => platform);

beforeAll(async () => {
  platform = await startPlatform({
    env: { AUDIT_CHECKPOINT_FILE: checkpoints, AUDIT_CHECKPOINT_SECONDS: '1' },
  });
  await done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
  tenant = await newTenant(platform);
  for (let person = 0; person < 8; person += 1) await newPerson(platform.api, { tenant_id: tenant });
  await eventually(async () => (await count()) >= 24, 30_000);
  key = (await platform.api.get('/api/audit/checkpoint-key', { token: await platform.adminToken() })).body
    .verifier_key;
});
afterAll(async () => {
  await platform?.close();
  close();
  rmSync(outside, { recursive: true, force: true });
});

/** As the owner of the database, whom no grant holds. */
const sql = <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> =>
  ask<Row>(platform.databaseUrl, text, values);

const count = async () =>
  (
    await sql<{ count: number }>('select count(*)::int as count from audit.event where chain = $1', [tenant])
  )[0]?.count ?? 0;
const idAt = async (sequence: number) =>
  (
    await sql<{ id: string }>('select id from audit.event where chain = $1 and sequence = $2', [
      tenant,
      sequence,
    ])
  )[0]?.id;

describe('gatehouse audit search', () => {
  it('finds by each filter, as a table and as JSON, and refuses what is none with a sentence', async () => {
    const table = await done([
      'audit',
      'search',
      '--tenant',
      tenant,
      '--type',
      'auth.login.*',
      '--from',
      '1h',
    ]);
    expect(table).toContain('auth.login.success');
    const all = await json(['audit', 'search', '--tenant', tenant, '--all']);
    expect(all.length).toBeGreaterThanOrEqual(24);
    const { user_id: user, trace_id: trace } = all.find(
      ({ type }: { type: string }) => type === 'auth.login.success',
    );
    for (const filter of [
      ['--user', user],
      ['--actor', user],
      ['--subject', `user:${user}`],
      ['--trace', trace],
      ['--ip', '127.0.0.0/8'],
      ['--outcome', 'success'],
      ['--severity', 'info'],
      ['--search', 'login success'],
    ]) {
      const found = await json(['audit', 'search', '--tenant', tenant, ...filter]);
      expect(found.length, filter.join(' ')).toBeGreaterThan(0);
    }
    const refused = await run(['audit', 'search', '--ip', '300.0.0.1']);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('neither an address nor a network');
    expect((await run(['audit', 'search', '--from', 'yesterday'])).code).toBe(2);
  });
});

describe('gatehouse audit export', () => {
  it('the guide’s two commands: a file of mode 0600 each, and an event each', async () => {
    const file = at('audit-2024-01.json');
    const time = ['--start', '2024-01-01', '--end', '2099-01-31'];
    await done(['audit', 'export', ...time, '--format', 'json', '--output', file]);
    expect((statSync(file).mode & 0o777).toString(8)).toBe('600');
    expect(JSON.parse(readFileSync(file, 'utf8')).events.length).toBeGreaterThanOrEqual(24);
    const csv = await done([
      'audit',
      'export',
      '--types',
      'auth.login.success,auth.login.failure',
      '--format',
      'csv',
    ]);
    expect(csv.trim().split('\r\n').length).toBeGreaterThanOrEqual(9);
    await auditEvent(
      platform,
      { type: 'audit.exported' },
      ({ data }) => data.format === 'csv' && data.complete === true,
    );
    const taken = await run(['audit', 'export', '--output', file]);
    expect(taken.code).toBe(1);
    expect(taken.err).toContain('--force');
  });

  it('a connection that breaks is gone on with, by itself and by --resume, without a gap or a double', async () => {
    const whole = await done([
      'audit',
      'export',
      '--tenant',
      tenant,
      '--types',
      'auth.*',
      '--format',
      'ndjson',
    ]);
    const wall = await cuttingProxy(platform.url, 6_000);
    const shown = ['--url', wall.url, 'audit', 'export', '--tenant', tenant, '--types', 'auth.*'];
    const login = ['--url', wall.url, 'login', '--email', platform.admin.email];
    try {
      await done(login, `${platform.admin.password}\n`);
      for (const format of ['ndjson', 'csv', 'json']) {
        wall.cuts = 2;
        const file = at(`cut.${format}`);
        const said = await run([...shown, '--format', format, '--output', file]);
        expect(said.code, said.err).toBe(0);
        expect(said.err).toContain('going on after');
        if (format === 'ndjson') expect(recordsOf(readFileSync(file, 'utf8'))).toEqual(recordsOf(whole));
        if (format === 'json') expect(JSON.parse(readFileSync(file, 'utf8')).end).toBeDefined();
      }
      wall.cuts = Number.POSITIVE_INFINITY;
      wall.bytes = 0;
      const file = at('later.ndjson');
      const broken = await run([...shown, '--output', file]);
      expect(broken.code).toBe(1);
      expect(broken.err).toContain('--resume');
      expect((await run([...shown, '--output', file])).err).toContain('--resume');
      wall.cuts = 0;
      await done([...shown, '--output', file, '--resume']);
      expect(recordsOf(readFileSync(file, 'utf8'))).toEqual(recordsOf(whole));
      expect((await run(['audit', 'verify', '--file', file, '--key', key])).code).toBe(0);
    } finally {
      wall.close();
    }
  });
});

describe('gatehouse audit verify', () => {
  it('a trail that nobody touched is sound: online, of one tenant, and from every export without the installation', async () => {
    await kept();
    expect(await done(['audit', 'verify', '--checkpoint', checkpoints])).toContain('the trail is sound');
    expect(await json(['audit', 'verify', '--tenant', tenant, '--checkpoint', checkpoints])).toMatchObject({
      sound: true,
      chains: 1,
      compared: { size: expect.any(Number) },
    });
    for (const [name, options] of Object.entries({
      'whole.ndjson': [],
      'whole.json': ['--format', 'json'],
      'types.json': ['--format', 'json', '--types', 'auth.login.success'],
      'time.ndjson': ['--start', '2024-01-01', '--end', '2099-01-01'],
      'tenant.ndjson': ['--tenant', tenant],
    })) {
      // The newest of now: an export tells of itself, and a second later there is one that it was not made for.
      const keptThen = at(`${name}.checkpoints`);
      copyFileSync(checkpoints, keptThen);
      const keptOutside = ['--checkpoint', keptThen, '--key', key];
      await done(['audit', 'export', ...options, '--output', at(name), ...keptOutside]);
      const there = ['--url', 'http://127.0.0.1:9', 'audit', 'verify', '--file', at(name)];
      const said = await run([...there, ...keptOutside]);
      expect(said.code, `${name}: ${said.err}`).toBe(0);
      // The key that the first look at the installation trusted.
      expect((await run(there)).code).toBe(0);
    }
    const other = key.replace(/\+[0-9a-f]{8}\+/, '+00000000+');
    expect((await run(['audit', 'verify', '--key', other])).code).toBe(2);
  });

  it('in a file, an edited record is named', async () => {
    const lines = readFileSync(at('whole.ndjson'), 'utf8').split('\n');
    const bad = lines.findIndex((line) => line.includes(`"chain":"${tenant}","sequence":5,`));
    const edited = lines.with(bad, (lines[bad] ?? '').replace('"outcome":"success"', '"outcome":"failure"'));
    writeFileSync(at('edited.ndjson'), edited.join('\n'));
    const said = await run(['audit', 'verify', '--file', at('edited.ndjson'), '--key', key]);
    expect(said.code).toBe(1);
    expect(said.err).toContain(`record 5 of chain ${tenant} (id ${await idAt(5)})`);
    writeFileSync(at('short.ndjson'), lines.slice(0, -10).join('\n'));
    expect((await run(['audit', 'verify', '--file', at('short.ndjson'), '--key', key])).code).toBe(1);
  });

  it.each([
    {
      what: 'a row is edited',
      tamper: `update audit.event set outcome = 'failure' where chain = $1 and sequence = 7`,
      sequence: 7,
      cause: 'changed',
    },
    {
      what: 'the personal fields of a row are edited',
      tamper: `update audit.event set personal = personal || '{"client_ip":"203.0.113.77"}' where chain = $1 and sequence = 6`,
      sequence: 6,
      cause: 'personal',
    },
    {
      what: 'a row is deleted',
      tamper: 'delete from audit.event where chain = $1 and sequence = 9',
      sequence: 9,
      cause: 'missing',
    },
    {
      what: 'two rows are swapped',
      // By way of places that nobody has: rows of one batch would be in each other's way.
      tamper: [
        'update audit.event set sequence = -sequence where chain = $1 and sequence in (11, 14)',
        `update audit.event set sequence = case sequence when -11 then 14 else 11 end,
        hash = case sequence when -11 then (select hash from audit.event where chain = $1 and sequence = -14)
          else (select hash from audit.event where chain = $1 and sequence = -11) end
        where chain = $1 and sequence in (-11, -14)`,
      ],
      sequence: 11,
      cause: 'changed',
    },
    {
      what: 'the tail is cut, and the head that would tell of it set back',
      tamper: `with cut as (delete from audit.event where chain = $1 and sequence > 20)
        update audit.chain set sequence = 20, hash = (select hash from audit.event where chain = $1 and sequence = 20) where chain = $1`,
      sequence: 21,
      cause: 'cut_tail',
    },
  ])(
    '$what: the first bad record is named, online and from an export',
    async ({ tamper, sequence, cause }) => {
      await kept();
      const id = await idAt(sequence);
      await untampered(async () => {
        for (const statement of [tamper].flat()) await sql(statement, [tenant]);
        // Not of the tenant alone: that would be an event of its own chain.
        const said = await run(['audit', 'verify', '--checkpoint', checkpoints]);
        expect(said.code, said.out).toBe(1);
        expect(said.err).toContain(`record ${sequence} of chain ${tenant}`);
        expect(said.err).toContain(`[${cause}]`);
        if (cause === 'personal') expect(said.err).toContain(`${id}`);
        const file = at(`tampered-${cause}-${sequence}.ndjson`);
        await done(['audit', 'export', '--output', file]);
        const later = await run([
          'audit',
          'verify',
          '--file',
          file,
          '--key',
          key,
          '--checkpoint',
          checkpoints,
        ]);
        expect(later.code).toBe(1);
        expect(later.err).toContain(`record ${sequence} of chain ${tenant}`);
      });
    },
  );

  it('a rollback to an older copy is found by the checkpoint kept outside, and by nothing else', async () => {
    const tables = ['event', 'chain', 'head', 'checkpoint'];
    await kept();
    await atOneMoment(
      platform.databaseUrl,
      tables.map((table) => [`create table public.old_${table} as table audit.${table}`]),
    );
    const session = await newPerson(platform.api, { tenant_id: tenant });
    const before = await count();
    const credentials = { email: session.email, password: session.password, tenant_id: tenant };
    await signIn(platform.api, credentials);
    await eventually(async () => (await count()) > before, 20_000);
    await kept();
    writeFileSync(at('then.txt'), readFileSync(checkpoints));
    // As after a restore of an old backup, and with it the file that the service itself looks into.
    for (const name of platform.services) await platform.stopService(name);
    writeFileSync(checkpoints, '');
    await sql('truncate audit.event, audit.chain, audit.head, audit.checkpoint');
    for (const table of tables) await sql(`insert into audit.${table} select * from public.old_${table}`);
    for (const name of platform.services) await platform.startService(name);
    await signIn(platform.api, credentials);
    const blind = await run(['audit', 'verify']);
    expect(blind.code, blind.err).toBe(0);
    const said = await run(['audit', 'verify', '--checkpoint', at('then.txt')]);
    expect(said.code, said.out).toBe(1);
    expect(said.err).toMatch(/\[(?:rolled_back|forked)\]/);
  });
});

/** Waits until everything recorded so far is vouched for by a checkpoint outside. */
async function kept(): Promise<void> {
  await eventually(async () => {
    const rows = await sql(
      `select from audit.chain c where chain = $1 and not exists (
         select from audit.head h where h.chain = c.chain and h.sequence = c.sequence)`,
      [tenant],
    );
    const [newest] = await sql<{ note: string }>(
      'select note from audit.checkpoint order by size desc limit 1',
    );
    expect(rows).toEqual([]);
    expect(readFileSync(checkpoints, 'utf8')).toContain(newest?.note);
  }, 30_000);
}

/** Does something to the trail of the tenant, and brings it back as it was. */
async function untampered(work: () => Promise<void>): Promise<void> {
  await atOneMoment(platform.databaseUrl, [
    ['create table public.good as select * from audit.event where chain = $1', [tenant]],
    ['create table public.good_chain as select * from audit.chain where chain = $1', [tenant]],
  ]);
  try {
    await work();
  } finally {
    await sql('delete from audit.event where chain = $1', [tenant]);
    await sql('insert into audit.event select * from public.good');
    await sql(
      'update audit.chain c set sequence = g.sequence, hash = g.hash from public.good_chain g where c.chain = g.chain',
    );
    await sql('drop table public.good, public.good_chain');
  }
}

const recordsOf = (text: string) =>
  text.split('\n').filter((line) => line.startsWith('{"chain"') && line.includes('"id":'));

interface Wall {
  readonly url: string;
  /** How many exports to break off. */
  cuts: number;
  /** After so many bytes. */
  bytes: number;
  close(): void;
}

/** A way to the installation that breaks. */
async function cuttingProxy(to: string, bytes: number): Promise<Wall> {
  const wall = { cuts: 0, bytes };
  const server: Server = createServer((incoming, reply) => {
    const { method, headers, url = '/' } = incoming;
    const passed = request(new URL(url, to), { method, headers }, (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers);
      reply.flushHeaders();
      const cutting = url.startsWith('/api/audit/export') && wall.cuts > 0;
      if (!cutting) return void answer.pipe(reply);
      wall.cuts -= 1;
      let left = wall.bytes;
      const end = () => void setImmediate(() => reply.destroy());
      if (left === 0) return end();
      answer.on('data', (piece: Buffer) => {
        reply.write(piece.subarray(0, Math.max(0, left)));
        left -= piece.length;
        if (left <= 0) reply.write('', end);
      });
      answer.on('end', () => left > 0 && reply.end());
    });
    passed.on('error', () => reply.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(wall, {
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  });
}
