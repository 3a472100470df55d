import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@gatehouse/kit/testing';
import { expect } from 'vitest';
import type { Fault, Lead } from './fault.ts';
import { connectSoon, connectWith } from './nats-client.ts';
import { newTenant } from './platform.ts';
import type { Stage } from './symptom-stage.ts';

const section = 'A NATS client is refused';

/** The account and the user that the page names, of which each fault has its own. */
const placesOf = (name: string) => ({ account: `orders-${name}`, user: `shop-${name}` });
const named =
  (name: string) =>
  (command: string): string =>
    command.replaceAll('orders', placesOf(name).account).replaceAll('shop', placesOf(name).user);

/** What was issued is in force, and a server has seen it. */
const seen = (name: string) => new RegExp(`${placesOf(name).user} +active .*Z .*Z .*Z `);

/** A client of the platform's own servers, with credentials of that lifetime. */
async function clientOf(
  stage: Stage,
  name: string,
  ttl: string,
  more: readonly string[] = [],
): Promise<string> {
  const { gatehouse } = stage;
  const { account, user } = placesOf(name);
  await gatehouse.done(['account', 'create', account, ...more, '--reason', 'test']);
  await gatehouse.done(['user', 'create', user, '--account', account, '--reason', 'test']);
  const { creds } = await gatehouse.json(['user', 'creds', user, '--account', account, '--ttl', ttl]);
  await (await connectSoon(stage.platform, creds)).close();
  return creds;
}

const refused = ({ platform }: Stage, creds: string) =>
  eventually(async () => {
    const client = await connectWith(platform, creds).catch((error: Error) => error);
    if (!(client instanceof Error)) await client.close();
    expect(client).toBeInstanceOf(Error);
    expect(String(client)).toMatch(/Authorization Violation|Authentication Expired/i);
  }, 30_000);

/** With the file that the page has made it is let in. */
async function letIn({ platform, gatehouse }: Stage, name: string): Promise<void> {
  const file = join(gatehouse.home, `${placesOf(name).user}.creds`);
  await (await connectSoon(platform, readFileSync(file, 'utf8'))).close();
}

const leadOf = (name: string, cause: Lead['cause']): Lead => ({
  section,
  labels: false,
  cause,
  mended: [seen(name)],
  fill: named(name),
});

const revoked: Fault = {
  title: 'a NATS client is refused because its user is revoked: restored, and with new creds it is let in',
  leads: [leadOf('revoked', [/^state +revoked$/m, /shop-revoked +revoked/, /U[A-Z2-7]{55}.*laptop stolen/])],
  async inject(stage) {
    const creds = await clientOf(stage, 'revoked', '1h');
    const { account, user } = placesOf('revoked');
    const why = ['--reason', 'laptop stolen', '--yes'];
    await stage.gatehouse.done(['user', 'revoke', user, '--account', account, ...why]);
    await refused(stage, creds);
    return async () => {
      await letIn(stage, 'revoked');
      // Who has the stolen ones is still kept out.
      await refused(stage, creds);
    };
  },
};

const expired: Fault = {
  title: 'a NATS client is refused because its credentials have expired: with new ones it is let in',
  leads: [leadOf('expired', [/^state +active$/m, /shop-expired +expired/])],
  async inject(stage) {
    const creds = await clientOf(stage, 'expired', '3s');
    await refused(stage, creds);
    return () => letIn(stage, 'expired');
  },
};

const locked: Fault = {
  title: 'a NATS client is refused because its tenant is disabled: enabled, it is let in as it is',
  leads: [leadOf('locked', [/^state +locked$/m, /its tenant is disabled/, /shop-locked +active/])],
  wordsFirst: true,
  async inject(stage) {
    const { platform, gatehouse } = stage;
    const tenant = await newTenant(platform);
    const creds = await clientOf(stage, 'locked', '1h', ['--tenant', tenant]);
    const about = ['--tenant', tenant, '--reason', 'unpaid'];
    await gatehouse.done(['admin', 'tenant', 'disable', ...about, '--yes']);
    await refused(stage, creds);
    return async () => {
      await gatehouse.done(['admin', 'tenant', 'enable', ...about]);
      await (await connectSoon(platform, creds)).close();
    };
  },
};

/** Clients of NATS that a server does not let in. */
export const faultsOfClients: readonly Fault[] = [revoked, expired, locked];
