import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmdirSync } from 'node:fs';
import { eventually } from '@gatehouse/kit/testing';
import { expect } from 'vitest';
import { type Fault, keepDoing } from './fault.ts';
import { greedyReport, heldUp, withItsProcess } from './greedy-report.ts';
import { newPerson } from './platform.ts';
import type { Stage } from './symptom-stage.ts';

const firstId = (said: string): string =>
  /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) /m.exec(said)?.[1] ?? '<id>';
const checkpointFile = ({ platform }: Stage): string => platform.env.AUDIT_CHECKPOINT_FILE ?? '';
const checkpointsKept = (stage: Stage): number =>
  readFileSync(checkpointFile(stage), 'utf8').split('\n\n').length;

/** Something happens all the time, or no checkpoint would be due. */
const goings = (stage: Stage) => keepDoing(() => newPerson(stage.platform.api), 1, 300);

const flood: Fault = {
  title: 'events come and somebody’s report holds the trail: audit lags',
  only: 'split',
  leads: [
    {
      section: 'GatehouseConsumerLag',
      labels: { consumer: 'audit-record' },
      cause: [/nats\.consumers +audit-record: [1-9]\d{3,} behind/, heldUp],
      mended: [/ok +nats\.consumers +audit-record: \d{1,2} behind/],
      fill: withItsProcess,
    },
    {
      section: 'GatehouseAuditLagHigh',
      cause: [/"consumer":"audit-record"\} [1-9]\d{3,}/, heldUp],
      mended: [/ok +database\.locks +nobody waits for a lock/],
    },
  ],
  async inject({ platform, sql }) {
    await newPerson(platform.api);
    const stopReport = await greedyReport(platform.databaseUrl, 'audit.event');
    await sql(
      `insert into auth.outbox (id, lane, type, subject, tenant_id, aggregate, data)
       select gen_random_uuid(), 1, 'auth.login.failure', 'auth.login.failure', null, 'user:flood',
         '{"email": "flood@example.com", "reason": "unknown_address", "strategy": "password"}'
       from generate_series(1, 5000)`,
    );
    return stopReport;
  },
};

const gap: Fault = {
  title: 'JetStream has lost an event that it had acknowledged: audit gets it again',
  momentary: true,
  only: 'split',
  leads: [
    {
      section: 'GatehouseAuditGap',
      labels: { service: 'auth' },
      cause: [/audit_gap_total\{service="auth"\} [1-9]/, /audit lacks events, publishing them again/],
      mended: [/ok +outbox\.unconfirmed/],
    },
  ],
  async inject({ sql }) {
    // What a power cut leaves of a store that had not synced: published, as far as anybody knows, and nowhere.
    const id = randomUUID();
    await sql(
      `insert into auth.outbox (id, lane, type, subject, tenant_id, aggregate, data, occurred_at, published_at)
       values ($1, 1, 'auth.login.failure', 'auth.login.failure', null, 'user:lost',
         '{"email": "lost@example.com", "reason": "unknown_address", "strategy": "password"}',
         now() - interval '2 minutes', now() - interval '2 minutes')`,
      [id],
    );
    const recorded = async () =>
      expect(await sql('select from audit.inbox where event_id = $1', [id])).toHaveLength(1);
    return () => eventually(recorded, 60_000);
  },
};

const folder: Fault = {
  title: 'the file of checkpoints cannot be written',
  only: 'split',
  leads: [
    {
      section: 'GatehouseAuditCheckpointFailing',
      labels: { sink: 'file' },
      cause: [/audit_checkpoint_failures_total\{sink="file"\} [1-9]/, /EISDIR/],
      // The size stands in the newest note of the file, and in the newest checkpoint of the platform.
      mended: [/\n(\d+)\n[\w+/=]{44}\n[\s\S]*SIZE[^\n]*\n\1 /],
    },
  ],
  async inject(stage) {
    const stop = goings(stage);
    const file = checkpointFile(stage);
    await eventually(() => expect(checkpointsKept(stage)).toBeGreaterThan(0), 20_000);
    // A folder in its place: the owner of a test may write into what is read-only to others.
    renameSync(file, `${file}.kept`);
    mkdirSync(file);
    return async () => {
      rmdirSync(file);
      renameSync(`${file}.kept`, file);
      await stop();
    };
  },
};

const rollback: Fault = {
  title: 'the database was brought back to an earlier state: nothing more is signed',
  only: 'split',
  leads: [
    {
      section: 'GatehouseAuditTrailFault',
      cause: [/rolled_back|forked/, /[0-9a-f]{8}-/],
      mended: [/ok +audit\.faults/],
      fill: (command, said) => command.replaceAll('<id>', firstId(said)),
    },
    {
      section: 'GatehouseAuditCheckpointStale',
      cause: [/failed +audit\.faults +the trail is not the one/, /rolled_back|forked/],
      mended: [/ok +audit\.checkpoint +(?:covers all|the last was signed [\d.]+ s ago)/],
    },
  ],
  async inject(stage) {
    const stop = goings(stage);
    const kept = checkpointsKept(stage);
    await eventually(() => expect(checkpointsKept(stage)).toBeGreaterThan(kept + 1), 20_000);
    await stage.sql(
      `with newest as (delete from audit.checkpoint where size = (select max(size) from audit.checkpoint) returning size)
       delete from audit.head where index >= (select max(size) from audit.checkpoint where size < (select size from newest))`,
    );
    return stop;
  },
};

const tampered: Fault = {
  title: 'a record of the audit was changed by somebody who owns the database',
  leads: [
    {
      section: 'The audit does not verify',
      labels: false,
      cause: [/changed/],
      mended: [/the trail is sound/],
    },
  ],
  async inject({ platform, sql }) {
    const { user_id } = await newPerson(platform.api);
    const [record] = await eventually(async () => {
      const rows = await sql<{ id: string; type: string }>(
        `select id, type from audit.event where user_id = $1 and type = 'auth.register.success'`,
        [user_id],
      );
      expect(rows).toHaveLength(1);
      return rows;
    });
    const set = (type: string | undefined) =>
      sql('update audit.event set type = $2 where id = $1', [record?.id, type]);
    await set('auth.login.success');
    // Put back, as from an export that verifies.
    return () => set(record?.type);
  },
};

const constraint: Fault = {
  title: 'audit cannot take an event, and gives up on it after a minute of trying',
  // Eight deliveries, each twice as long after the one before.
  only: 'one',
  leads: [
    {
      section: 'GatehouseDeadLetters',
      labels: { consumer: 'audit-record' },
      cause: [/violates check constraint/, /auth\.register\.success/],
      mended: [/admin\.dead_letter\.replayed/],
      gone: [/violates check constraint/],
      fill: (command, said) => command.replaceAll('<id>', firstId(said)),
    },
  ],
  async inject({ platform, sql }) {
    const dropped = () => sql('alter table audit.event drop constraint if exists in_the_way');
    await sql(
      `alter table audit.event add constraint in_the_way check (type <> 'auth.register.success') not valid`,
    );
    await newPerson(platform.api);
    // Mend the cause first, says the page: before the replay.
    void eventually(async () => expect((await sql('select from audit.dead_letter')).length).toBe(1), 120_000)
      .then(dropped)
      .catch(() => undefined);
    return dropped;
  },
};

/** What can become of events on their way to the audit, and of the audit itself. */
export const faultsOfTheTrail: readonly Fault[] = [flood, folder, rollback, tampered, gap, constraint];
