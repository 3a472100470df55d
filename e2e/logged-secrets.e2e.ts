import { isSecretSetting } from '@gatehouse/embedded';
import { describe, expect, it } from 'vitest';
import { auditEvent, newPerson, type Platform, startPlatform } from './platform.ts';

describe('the logs of a run', () => {
  it('that tell a token fail the run at its end, with the line and without the token', async () => {
    const platform = await startPlatform({ env: { REFRESH_REUSE_GRACE_SECONDS: '0' } });
    await expectSecretSettingsKnown(platform);
    const { user_id, access_token, refresh_token } = await newPerson(platform.api);
    // The one text of a caller that is logged as it came: with what a replay is traced by.
    const headers = { 'user-agent': `stolen ${access_token.slice(0, 200)}` };
    const refresh = (token: string) =>
      platform.api.post('/api/auth/refresh', { refresh_token: token }, { headers });
    await refresh(refresh_token);
    expect((await refresh(refresh_token)).body.code).toBe('refresh_replayed');
    await auditEvent(platform, { type: 'security.refresh_replay_detected', user_id });

    const ended = await platform.close().then(String, String);
    expect(ended).toMatch(/\.log:\d+ tells a JWT.*"event":"security.refresh_replay_detected"/);
    expect(ended).not.toContain(access_token.slice(0, 200));
  });
});

/** What the search takes for secret goes by names: it must know those that the services declare. */
async function expectSecretSettingsKnown(platform: Platform): Promise<void> {
  const { body } = await platform.api.get('/api/admin/settings', { token: await platform.adminToken() });
  const secret = (body.items as { name: string; secret: boolean }[]).filter((item) => item.secret);
  expect(secret.length).toBeGreaterThan(5);
  // Of a URL the password is found by its place.
  const unknown = secret.filter(({ name }) => !isSecretSetting(name) && !name.endsWith('_URL'));
  expect(unknown.map(({ name }) => name)).toEqual([]);
}
