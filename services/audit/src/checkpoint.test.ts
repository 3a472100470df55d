import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  headEntry,
  headsFault,
  notesIn,
  openCheckpoint,
  parseHeadEntry,
  parseVerifierKey,
} from '@gatehouse/audit-chain';
import { eventually } from '@gatehouse/kit/testing';
import { type AuditDatabase, type Connection, connect } from '@gatehouse/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chainFaults } from './chain-testing.ts';
import { checkpointKeyOf } from './checkpoint-key.ts';
import { signNext } from './checkpoint-sign.ts';
import { ADMIN, PLATFORM_ADMIN, startAudit, type TestAudit } from './testing.ts';

const never = { AUDIT_CHECKPOINT_SECONDS: '86400', AUDIT_CHECKPOINT_EVENTS: '1000000' };

/** A folder for a test file's checkpoints. */
function folder() {
  const path = mkdtempSync(join(tmpdir(), 'gatehouse-checkpoint-'));
  return { file: join(path, 'checkpoints'), remove: () => rmSync(path, { recursive: true, force: true }) };
}

const sizes = async ({ platform }: TestAudit): Promise<number[]> => {
  const rows = await platform.database.query<{ size: string }>(
    'select size from audit.checkpoint order by size',
  );
  return rows.map(({ size }) => Number(size));
};

describe('checkpoints', () => {
  let audit: TestAudit;
  let own: Connection<AuditDatabase>;
  const kept = folder();
  beforeAll(async () => {
    audit = await startAudit({ AUDIT_CHECKPOINT_SECONDS: '1', AUDIT_CHECKPOINT_FILE: kept.file });
    own = connect<AuditDatabase>({ url: audit.platform.database.url, service: 'audit' });
  });
  afterAll(async () => {
    await own?.close();
    await audit?.platform.close();
    kept.remove();
  });

  it('vouch for every chain: a stranger verifies them with the key, the note of the file and the log of heads', async () => {
    const tenants = Array.from({ length: 3 }, () => crypto.randomUUID());
    await audit.tell(tenants.flatMap((tenant) => [{ tenant }, { tenant }]));
    const token = await audit.accessToken(PLATFORM_ADMIN);
    const { body: key } = await audit.platform.api.get('/api/audit/checkpoint-key', { token });
    const verifiers = [parseVerifierKey(key.verifier_key)];
    await eventually(async () => {
      const note = notesIn(readFileSync(kept.file, 'utf8')).at(-1) ?? '';
      const checkpoint = openCheckpoint(note, verifiers);
      expect(checkpoint.origin).toBe(key.origin);
      const heads = await own.db.selectFrom('head').selectAll().orderBy('index').execute();
      expect(
        headsFault(
          heads.map((head) => parseHeadEntry(headEntry(head).toString())),
          checkpoint,
        ),
      ).toBe(undefined);
      const vouched = heads.slice(0, checkpoint.size);
      for (const tenant of tenants)
        expect(vouched).toContainEqual(expect.objectContaining({ chain: tenant, sequence: 2 }));
    });
    expect(await chainFaults(own.db)).toEqual([]);
  });

  it('are told as events and listed newest first, to who may know of every tenant', async () => {
    const token = await audit.accessToken(PLATFORM_ADMIN);
    const read = () => audit.platform.api.get('/api/audit/checkpoints?limit=1', { token });
    const { body } = await eventually(async () => {
      const answer = await read();
      expect(answer.body.items).toHaveLength(1);
      return answer;
    });
    const [item] = body.items;
    expect(item).toMatchObject({ size: expect.any(Number), events: expect.any(Number) });
    expect(item.note.split('\n').slice(1, 3)).toEqual([String(item.size), item.root]);
    await eventually(async () => {
      const rows = await audit.platform.database.query<{ data: { note: string } }>(
        `select data from audit.event where type = 'audit.checkpoint.signed'`,
      );
      expect(rows.map(({ data }) => data.note)).toContain(item.note);
    });
    const all = await audit.platform.api.get('/api/audit/checkpoints', { token });
    const listed = all.body.items.map(({ size }: { size: number }) => size);
    expect(listed).toEqual(listed.toSorted((a: number, b: number) => b - a));
    const admin = await audit.accessToken(ADMIN);
    expect((await audit.platform.api.get('/api/audit/checkpoints', { token: admin })).status).toBe(403);
    expect((await audit.platform.api.get('/api/audit/checkpoint-key', { token: admin })).status).toBe(200);
    for (const path of ['checkpoints', 'checkpoint-key', 'faults'])
      expect((await audit.platform.api.get(`/api/audit/${path}`)).status).toBe(401);
    const bad = await audit.platform.api.get('/api/audit/checkpoints?cursor=x', { token });
    expect(bad.body.code).toBe('bad_cursor');
  });

  it('come to rest when nothing happens: their own events are no reason for another', async () => {
    // Whatever happened so far goes into one; its event is recorded; then nothing is left to sign.
    await eventually(async () => {
      const [left] = await audit.platform.database.query<{ count: string }>(
        `select count(*) from audit.event e where type <> 'audit.checkpoint.signed'
           and sequence > coalesce((select max(sequence) from audit.head h where h.chain = e.chain), 0)`,
      );
      const [unsent] = await audit.platform.database.query<{ count: string }>(
        'select count(*) from audit.outbox where published_at is null',
      );
      expect([left?.count, unsent?.count]).toEqual(['0', '0']);
    });
    const before = await sizes(audit);
    const key = checkpointKeyOf(Buffer.alloc(32, 1), undefined);
    const relay = { poke: () => {} } as never;
    for (let round = 0; round < 3; round += 1)
      expect(await signNext({ db: own.db, relay, checkpointKey: key })).toBe('quiet');
    expect(await sizes(audit)).toEqual(before);
  });

  it('are signed by one of several instances that want to at once', async () => {
    await audit.tell([{}, {}]);
    const key = checkpointKeyOf(Buffer.alloc(32, 1), undefined);
    const others = Array.from({ length: 4 }, () =>
      connect<AuditDatabase>({ url: audit.platform.database.url, service: 'audit' }),
    );
    const relay = { poke: () => {} } as never;
    const outcomes = await Promise.all(others.map(({ db }) => signNext({ db, relay, checkpointKey: key })));
    await Promise.all(others.map((one) => one.close()));
    expect(outcomes.filter((outcome) => outcome === 'signed').length).toBeLessThanOrEqual(1);
    const heads = await own.db.selectFrom('head').select('index').orderBy('index').execute();
    expect(heads.map(({ index }) => index)).toEqual(heads.map((_, place) => place));
  });
});

describe('a checkpoint is due', () => {
  it('after so many events, however young the last one is', async () => {
    const audit = await startAudit({ ...never, AUDIT_CHECKPOINT_EVENTS: '20' });
    try {
      await audit.tell(Array.from({ length: 25 }, () => ({})));
      await eventually(async () => expect((await sizes(audit)).length).toBeGreaterThan(0));
    } finally {
      await audit.platform.close();
    }
  });
});

describe('a checkpoint is handed over', () => {
  const receiver = async (listener: RequestListener, port = 0) => {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return {
      port: (server.address() as AddressInfo).port,
      close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
    };
  };

  it('to a receiver that was away, when it is back; and to nobody whom it points to', async () => {
    const gone = await receiver(() => {});
    await gone.close();
    const { port } = gone;
    const audit = await startAudit({
      AUDIT_CHECKPOINT_SECONDS: '1',
      AUDIT_CHECKPOINT_URL: `http://127.0.0.1:${port}/notes?key=hidden`,
    });
    const failures = async () => {
      const { values } = await audit.platform.metrics.auditCheckpointFailures.get();
      return values.find(({ labels }) => labels.sink === 'url')?.value ?? 0;
    };
    const got: string[] = [];
    let elsewhere = 0;
    const open: { close(): Promise<unknown> }[] = [];
    try {
      await audit.tell([{}]);
      await eventually(async () => expect(await failures()).toBe(1));
      const other = await receiver((_request, response) => {
        elsewhere += 1;
        response.end();
      });
      open.push(other);
      let refusals = 1;
      const back = await receiver((request, response) => {
        if (refusals-- > 0) {
          response.writeHead(307, { location: `http://127.0.0.1:${other.port}/` }).end();
          return;
        }
        let body = '';
        request.on('data', (chunk) => {
          body += chunk;
        });
        request.on('end', () => {
          got.push(`${request.method} ${request.headers['content-type']} ${body}`);
          response.writeHead(204).end();
        });
      }, port);
      open.push(back);
      await eventually(() => expect(got.length).toBeGreaterThan(0), 40_000);
      expect(await failures()).toBeGreaterThanOrEqual(2);
      expect(got[0]).toMatch(/^POST text\/plain; charset=utf-8 gatehouse\/audit\/[0-9a-f]{16}\n\d+\n/);
      expect(elsewhere).toBe(0);
    } finally {
      await audit.platform.close();
      await Promise.all(open.map((one) => one.close()));
    }
  }, 60_000);

  it('to a file below what a power cut has torn off, and is found again', async () => {
    const kept = folder();
    writeFileSync(kept.file, 'gatehouse/audit/torn\n12\nabc');
    const audit = await startAudit({ AUDIT_CHECKPOINT_SECONDS: '1', AUDIT_CHECKPOINT_FILE: kept.file });
    try {
      await audit.tell([{}]);
      await eventually(() => expect(notesIn(readFileSync(kept.file, 'utf8'))).toHaveLength(1));
    } finally {
      await audit.platform.close();
      kept.remove();
    }
  });
});
