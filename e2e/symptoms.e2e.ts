import { join } from 'node:path';
import { findPrometheus, temporaryHome } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Alerts, startAlerts } from './alerts.ts';
import type { Fault, Lead } from './fault.ts';
import { faultsOfClients } from './faults-of-clients.ts';
import { faultsOfClusters } from './faults-of-clusters.ts';
import { faultsOfKeys } from './faults-of-keys.ts';
import { faultsOfParts } from './faults-of-parts.ts';
import { faultsOfPeople } from './faults-of-people.ts';
import { faultsOfTheTrail } from './faults-of-the-trail.ts';
import { mode, type Platform, startPlatform } from './platform.ts';
import { shippedAlerts } from './scaled-rules.ts';
import {
  sectionOfCertificates,
  sectionOfDisks,
  sectionsOfResources,
  sectionsOfSettings,
} from './sections-of-settings.ts';
import { type Step, symptomNamed, symptoms } from './symptom-page.ts';
import { openStage, type Stage } from './symptom-stage.ts';

// docs/runbook.md, followed: a fault is injected, its alert fires in a real Prometheus, the page's commands show the
// cause, the page's commands mend it, and the alert is resolved. Commands are read from the page.

/** Five minutes of a rule are three seconds here. */
const FACTOR = 100;
/** Nothing here takes a quarter of it, unless the machine has much else to do. */
const PATIENCE_MS = 90_000;
/** In which Prometheus notices what has happened once, if it was there. */
const MOMENT_MS = 8_000;
const faults: readonly Fault[] = [
  ...faultsOfPeople,
  ...faultsOfTheTrail,
  ...faultsOfKeys,
  ...faultsOfClusters,
  ...faultsOfClients,
  ...faultsOfParts,
];
const prometheus = findPrometheus();
const page = new Map(symptoms().map((symptom) => [symptom.name, symptom]));

describe('the runbook', () => {
  it('has a section for each alert that is shipped, and each alert leads to its own', () => {
    for (const { alert, annotations } of shippedAlerts()) {
      expect([...page.keys()]).toContain(alert);
      expect(annotations?.runbook_url).toMatch(new RegExp(`docs/runbook\\.md#${alert.toLowerCase()}$`));
    }
  });

  it('has no section that no test follows', () => {
    const followed = new Set([
      ...faults.flatMap(({ leads }) => leads.map(({ section }) => section)),
      ...sectionsOfSettings,
      ...sectionsOfResources,
      sectionOfCertificates,
      sectionOfDisks,
    ]);
    expect([...followed].sort()).toEqual([...page.keys()].sort());
  });

  it('says under each heading how the cause is seen and how it is seen to be mended', () => {
    for (const { name, commands } of page.values()) {
      expect(commands.Cause.length, name).toBeGreaterThan(0);
      expect(commands.Mended.length, name).toBeGreaterThan(0);
    }
  });
});

describe.skipIf(prometheus === undefined)('a fault, its alert, its section', () => {
  let platform: Platform;
  let alerts: Alerts;
  let stage: Stage;
  /** Where checkpoints of the audit are kept, outside. */
  const kept = temporaryHome('gatehouse-checkpoints-');

  beforeAll(async () => {
    if (prometheus === undefined) return;
    const AUDIT_CHECKPOINT_FILE = join(kept.path, 'checkpoints');
    const env = { ...settings, AUDIT_CHECKPOINT_FILE };
    platform = await startPlatform({ ownPostgres: true, redis: true, natsMonitor: true, env });
    alerts = await startAlerts(platform, prometheus, FACTOR);
    stage = await openStage(platform, alerts.url);
    await eventually(async () => expect(await alerts.broken()).toEqual([]), 20_000);
    // An increase is told by two readings: the first one must be from before anything happens.
    await eventually(() => alerts.holds('min(up) == 1'), 20_000);
  });
  afterAll(async () => {
    await alerts?.close();
    await stage?.close();
    await platform?.close();
    kept.remove();
  });

  for (const fault of faults.filter(({ only }) => only === undefined || only === mode))
    it(fault.title, () => follow(fault), 4 * PATIENCE_MS);

  async function follow(fault: Fault): Promise<void> {
    await each(fault, (alert, labels) => is('inactive', alert, labels));
    const act = fault.momentary ? await injectUntilSeen(fault) : await fault.inject(stage);
    let acted = false;
    try {
      if (!fault.momentary) await each(fault, (alert, labels) => is('firing', alert, labels));
      for (const lead of fault.leads) await says(lead, 'Cause', lead.cause);
      if (!fault.wordsFirst) await mendAll(fault);
      acted = true;
      await act();
      // What has just been started may take a moment to be there.
      if (fault.wordsFirst) await eventually(() => mendAll(fault), PATIENCE_MS);
      for (const lead of fault.leads) await says(lead, 'Mended', lead.mended);
      await each(fault, (alert, labels) => is('inactive', alert, labels));
    } finally {
      // What failed first is what counts.
      if (!acted) await act().catch(() => {});
    }
  }

  const injectUntilSeen = (fault: Fault) =>
    eventually(async () => {
      const act = await fault.inject(stage);
      await each(fault, (alert, labels) => is('firing', alert, labels, MOMENT_MS));
      return act;
    }, PATIENCE_MS);

  async function each(fault: Fault, check: (alert: string, labels: Record<string, string>) => Promise<void>) {
    for (const { section, labels = {} } of fault.leads)
      if (labels !== false) await check(section, { ...labels });
  }

  const is = (state: string, alert: string, labels: Record<string, string>, patienceMs = PATIENCE_MS) =>
    eventually(async () => {
      const found = await alerts.state(alert, labels);
      expect(found, `${alert} ${JSON.stringify(labels)}`).toBe(state);
    }, patienceMs);

  /** Runs the commands of a step until they say what they must, as a reader would look again. */
  async function says(lead: Lead, step: Step, patterns: readonly RegExp[]): Promise<void> {
    const { line } = symptomNamed(lead.section);
    await eventually(async () => {
      const said = await stage.read(lead.section, step, lead);
      const about = `${lead.section} (line ${line}), ${step}`;
      for (const pattern of patterns) expect(said, `${about}: ${pattern}\n${said}`).toMatch(pattern);
      if (step !== 'Mended') return;
      for (const pattern of lead.gone ?? []) expect(said, `${about}: no ${pattern}`).not.toMatch(pattern);
    }, PATIENCE_MS);
  }

  async function mendAll({ leads }: Fault): Promise<void> {
    for (const lead of leads) await mend(lead);
  }

  async function mend(lead: Lead): Promise<void> {
    const { commands } = symptomNamed(lead.section);
    if (commands.Mend.length === 0) return;
    let said = await stage.read(lead.section, 'Cause', lead);
    for (const command of commands.Mend) {
      const filled = lead.fill?.(command, said) ?? command;
      expect(filled, 'a placeholder that the test does not fill').not.toMatch(/<[a-z-]+>|…/);
      const { code, out, err } = await stage.shell(filled);
      expect(code, `${filled}\n${err}${out}`).toBe(0);
      said += out;
    }
  }
});

const settings = {
  RATE_LIMIT_ENABLED: 'true',
  RATE_LIMIT_LOGIN_MAX: '1000000',
  RATE_LIMIT_LOGIN_ACCOUNT_MAX: '1000000',
  RATE_LIMIT_REGISTER_MAX: '1000000',
  RATE_LIMIT_ADMIN_MAX: '1000000',
  RATE_LIMIT_DEFAULT_MAX: '1000000',
  RATE_LIMIT_REFRESH_MAX: '200',
  MAX_CONCURRENT_HASHES: '2',
  ARGON2_MEMORY_KIB: '8192',
  AUTH_LOGIN_MAX_ATTEMPTS: '1',
  ARGON2_ITERATIONS: '2',
  AUDIT_CHECKPOINT_SECONDS: '1',
  JWKS_MAX_AGE_SECONDS: '1',
  REFRESH_REUSE_GRACE_SECONDS: '0',
  NATS_HEALTH_INTERVAL_SECONDS: '1',
  NATS_SYNC_INTERVAL_SECONDS: '5',
};
