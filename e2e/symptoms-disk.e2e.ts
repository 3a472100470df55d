import { eventually, goodPassword, newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keepDoing } from './fault.ts';
import { type Platform, signIn, startPlatform } from './platform.ts';
import { sectionOfDisks } from './sections-of-settings.ts';
import { type SmallDisk, smallDisk } from './small-disk.ts';
import type { Step } from './symptom-page.ts';
import { openStage, type Stage } from './symptom-stage.ts';

// docs/runbook.md, followed: the disk of everything is full while people register, and has room again.
/** Postgres, three buses at most, and the logs of all, with a little to spare. */
const DISK_MB = 700;
const PATIENCE_MS = 60_000;

interface Registered {
  readonly email: string;
  readonly user_id: string;
}

describe('a disk that is full', () => {
  let disk: SmallDisk | undefined;
  let platform: Platform;
  let stage: Stage;
  const registered: Registered[] = [];
  /** What requests were answered with, since it was last emptied. */
  const answers = new Set<string>();

  beforeAll(async () => {
    disk = smallDisk(DISK_MB);
    if (disk === undefined) return;
    platform = await startPlatform({ ownPostgres: true, folder: disk.path });
    stage = await openStage(platform, 'http://127.0.0.1:9');
  });
  afterAll(async () => {
    await stage?.close();
    await platform?.close();
    disk?.remove();
  });

  async function register(): Promise<void> {
    const email = newEmail();
    const { status, body } = await platform.api.post('/api/auth/register', { email, password: goodPassword });
    answers.add(status === 201 ? '201' : `${status} ${body.code}`);
    if (status === 201) registered.push({ email, user_id: body.user_id });
  }

  const says = (step: Step) =>
    stage.read(sectionOfDisks, step, { env: { GATEHOUSE_HOME: disk?.path ?? '' } });

  it('is named; nobody is told that something was done that was not; with room everything goes on, and nothing is lost', async ({
    skip,
  }) => {
    if (disk === undefined) return skip('only root on Linux may make a disk to fill');
    const full = disk;
    const stop = keepDoing(register, 3);
    const stopFilling = keepDoing(async () => full.fill());
    try {
      await eventually(() => expect([...answers]).toContain('503 database_unavailable'), PATIENCE_MS);
      // Whoever cannot write still answers: with what is wrong, and whether it lives.
      expect((await platform.api.get('/health/live')).status).toBe(200);
      const cause = await says('Cause');
      expect(cause).toMatch(/failed +disk +0\.0 GiB free/);
      expect(cause).toMatch(new RegExp(`100% +${full.path}$`, 'm'));
      expect(
        [...answers].filter(
          (one) => !/^(201|503 (database_unavailable|upstream_unavailable|hash_busy))$/.test(one),
        ),
      ).toEqual([]);
    } finally {
      await stopFilling();
      full.makeRoom();
    }
    answers.clear();
    await eventually(() => expect([...answers]).toContain('201'), PATIENCE_MS);
    await stop();
    await platform.nats.stop();
    await platform.nats.start();
    await eventually(async () => expect(await says('Mended')).toBe(''), PATIENCE_MS);
    for (const { email } of registered.slice(-50))
      await signIn(platform.api, { email, password: goodPassword });
    await eventually(async () => expect(await lost()).toEqual([]), PATIENCE_MS);
    expect((await stage.shell('gatehouse audit verify')).code).toBe(0);
  }, 240_000);

  /** Who was told to be registered and is not, or whose registration the audit does not have. */
  const lost = () =>
    stage.sql(
      `select r.email, exists (select from auth.user_account u where u.id = r.user_id) as stored
      from jsonb_to_recordset($1::jsonb) as r(email text, user_id uuid)
      where not exists (select from auth.user_account u where u.id = r.user_id)
        or not exists (select from audit.event e where e.type = 'auth.register.success' and e.user_id = r.user_id)`,
      [JSON.stringify(registered)],
    );
});
