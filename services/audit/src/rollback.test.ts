import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { notesIn } from '@gatehouse/audit-chain';
import { eventually, type TestDatabase, type TestPlatform } from '@gatehouse/kit/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ADMIN, auditOn, insert, PLATFORM_ADMIN, startAudit, type TestAudit } from './testing.ts';

describe('a database that was brought back to an earlier state', () => {
  let folder: string;
  let file: string;
  let audit: TestAudit;
  const copies: TestDatabase[] = [];
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'gatehouse-rollback-'));
    file = join(folder, 'checkpoints');
    audit = await startAudit({ AUDIT_CHECKPOINT_SECONDS: '1', AUDIT_CHECKPOINT_FILE: file });
  });
  afterEach(async () => {
    await audit.platform.close();
    rmSync(folder, { recursive: true, force: true });
    for (const copy of copies.splice(0)) await copy.drop();
  });

  const notes = () => notesIn(readFileSync(file, 'utf8'));
  const newestSize = () => Number(notes().at(-1)?.split('\n')[1]);
  /** Tells something, and waits until a checkpoint of it is in the file. */
  const goOn = async () => {
    const before = notesOrNone(file).length;
    await audit.tell([{}, {}]);
    await eventually(() => expect(notesOrNone(file).length).toBeGreaterThan(before));
  };
  /** A copy of the database as it stands; the processes must have stopped. */
  const copy = async (): Promise<TestDatabase> => {
    const made = await audit.platform.database.copy();
    copies.push(made);
    return made;
  };
  const restart = async (overrides: Record<string, string> = {}): Promise<TestPlatform> => {
    const platform = await audit.platform.restart(overrides);
    audit = auditOn(platform);
    return platform;
  };
  const open = async () => {
    const { values } = await audit.platform.metrics.auditFaultsOpen.get();
    return values[0]?.value;
  };

  it('is told by the file at the next start; nothing more is signed until somebody acknowledges it', async () => {
    await goOn();
    await audit.platform.stop();
    const earlier = await copy();
    const signed = await earlier.query('select from audit.checkpoint');
    await restart();
    await goOn();
    // Back to the copy, as an administrator of the database would do it.
    const platform = await restart({ DATABASE_URL: earlier.url });
    const kept = notes().length;
    const faults = await earlier.query<{ id: string; cause: string }>('select id, cause from audit.fault');
    expect(faults).toEqual([{ id: expect.any(String), cause: 'rolled_back' }]);
    await eventually(async () => expect(await open()).toBe(1));
    await eventually(async () => {
      const told = await earlier.query(`select severity from audit.event where type = 'audit.chain.fault'`);
      expect(told).toEqual([{ severity: 'critical' }]);
    });
    const health = await audit.ask('audit/health', {});
    expect(health.body.components).toContainEqual(
      expect.objectContaining({ name: 'audit_chain', status: 'degraded' }),
    );
    // Events came, and time went by: still nothing is signed on top.
    const runs = async () => {
      const { values } = await platform.metrics.jobRuns.get();
      return (
        values.find(({ labels }) => labels.task === 'audit-checkpoint' && labels.result === 'ok')?.value ?? 0
      );
    };
    const ran = await runs();
    await eventually(async () => expect(await runs()).toBeGreaterThan(ran + 2));
    expect(notes()).toHaveLength(kept);
    expect(await earlier.query('select from audit.checkpoint')).toHaveLength(signed.length);

    const token = await audit.accessToken(PLATFORM_ADMIN);
    const acknowledge = (id: string, body: unknown, as = token) =>
      platform.api.post(`/api/audit/faults/${id}/acknowledge`, body, { token: as });
    const id = faults[0]?.id ?? '';
    expect((await acknowledge(id, { reason: 'x' }, await audit.accessToken(ADMIN))).status).toBe(403);
    expect((await platform.api.post(`/api/audit/faults/${id}/acknowledge`, { reason: 'x' })).status).toBe(
      401,
    );
    expect((await acknowledge(id, {})).body.code).toBe('reason_required');
    expect((await acknowledge(crypto.randomUUID(), { reason: 'x' })).status).toBe(404);
    const both = await Promise.all([1, 2].map(() => acknowledge(id, { reason: 'restored the backup' })));
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 409]);
    const { body } = await platform.api.get('/api/audit/faults', { token });
    expect(body.items).toEqual([expect.objectContaining({ id, reason: 'restored the backup' })]);
    await eventually(() => expect(notes().length).toBeGreaterThan(kept));
    await eventually(async () => expect(await open()).toBe(0));
    await eventually(async () => {
      const told = await earlier.query(
        `select data->>'reason' as reason from audit.event where type = 'audit.chain.fault_acknowledged'`,
      );
      expect(told).toEqual([{ reason: 'restored the backup' }]);
    });
    expect(await earlier.query('select from audit.fault')).toHaveLength(1);
  }, 60_000);

  it('is told although its log has grown past the checkpoint meanwhile: it is another log', async () => {
    await goOn();
    await audit.platform.stop();
    const earlier = await copy();
    await restart();
    await goOn();
    const last = newestSize();
    // Somebody let it run on where the file is not.
    const elsewhere = await restart({ DATABASE_URL: earlier.url, AUDIT_CHECKPOINT_FILE: '' });
    await eventually(async () => {
      await insert({ ...elsewhere, database: earlier }, [{}, { tenant: crypto.randomUUID() }]);
      const [row] = await earlier.query<{ size: string }>('select max(size) as size from audit.checkpoint');
      expect(Number(row?.size)).toBeGreaterThanOrEqual(last);
    });
    await restart({ DATABASE_URL: earlier.url, AUDIT_CHECKPOINT_FILE: file });
    expect(await earlier.query('select cause from audit.fault')).toEqual([{ cause: 'forked' }]);
    const health = await audit.ask('audit/health', {});
    expect(health.body.components).toContainEqual(
      expect.objectContaining({ name: 'audit_chain', status: 'degraded' }),
    );
  }, 60_000);

  it('is not told when a process died between signing and handing over: the next start hands it over', async () => {
    await goOn();
    const handed = newestSize();
    // Signed, and not handed over to the file.
    await restart({ AUDIT_CHECKPOINT_FILE: '' });
    const signed = async () => {
      const [row] = await audit.platform.database.query<{ size: string }>(
        'select max(size) as size from audit.checkpoint',
      );
      return Number(row?.size);
    };
    await audit.tell([{}, {}]);
    await eventually(async () => expect(await signed()).toBeGreaterThan(handed));
    expect(newestSize()).toBe(handed);
    await restart({ AUDIT_CHECKPOINT_FILE: file });
    await eventually(async () => expect(newestSize()).toBe(await signed()));
    expect(await audit.platform.database.query('select from audit.fault')).toEqual([]);
  }, 60_000);

  it('is not told of an orderly restart, nor of a file of somebody else', async () => {
    await goOn();
    await restart();
    await goOn();
    expect(await audit.platform.database.query('select from audit.fault')).toEqual([]);
    // Another secret is another log: what the file has says nothing about it.
    await restart({ GATEHOUSE_SECRET: randomBytes(32).toString('base64url') });
    await goOn();
    expect(await audit.platform.database.query('select from audit.fault')).toEqual([]);
  }, 60_000);
});

function notesOrNone(file: string): string[] {
  try {
    return notesIn(readFileSync(file, 'utf8'));
  } catch {
    return [];
  }
}
