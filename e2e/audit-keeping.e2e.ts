import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, newPerson, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';

// gatehouse audit checkpoints, key, faults, acknowledge and erase, against a running installation.
let platform: Platform;
const { run: gatehouse, done, json, close } = gatehouseFor(() => platform);
beforeAll(async () => {
  platform = await startPlatform({ env: { AUDIT_CHECKPOINT_SECONDS: '1' } });
  await done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
});
afterAll(async () => {
  await platform?.close();
  close();
});

describe('gatehouse audit', () => {
  it('checkpoints and key show what vouches for the trail, and of which log', async () => {
    const [checkpoint] = await eventually(async () => {
      const items = await json(['audit', 'checkpoints', '--limit', '1']);
      expect(items).toHaveLength(1);
      return items;
    }, 30_000);
    const key = (await done(['--quiet', 'audit', 'key'])).trim();
    const origin = key.slice(0, key.indexOf('+'));
    expect(origin).toMatch(/^gatehouse\/audit\/[0-9a-f]{16}$/);
    expect(checkpoint.note.split('\n').slice(0, 3)).toEqual([
      origin,
      String(checkpoint.size),
      checkpoint.root,
    ]);
    expect(await json(['audit', 'faults'])).toEqual([]);
    const unknown = await gatehouse([
      ...['audit', 'acknowledge', crypto.randomUUID(), '--reason', 'a test', '--yes'],
    ]);
    expect(unknown.code).toBe(1);
  });

  it('erase takes what is personal of somebody out of the trail, and says of how many records', async () => {
    const person = await newPerson(platform.api);
    const find = () => auditEvent(platform, { type: 'auth.login.success', user_id: person.user_id });
    expect((await find()).data.email).toBe(person.email);
    const erase = ['audit', 'erase', '--email', person.email, '--reason', 'asked to be forgotten'];
    expect((await gatehouse(erase)).code).toBe(2); // nobody to ask
    expect(await done([...erase, '--yes'])).toMatch(/^erased from [1-9]\d* records\n$/);
    const after = await find();
    expect(after.data.email ?? null).toBeNull();
    expect(after).toMatchObject({ client_ip: null, user_agent: null, user_id: person.user_id });
    const told = await auditEvent(platform, { type: 'audit.erased', user_id: person.user_id });
    expect(told.data).toMatchObject({ reason: 'asked to be forgotten' });
    expect(await done(['audit', 'verify'])).toContain('the trail is sound');
  });
});
