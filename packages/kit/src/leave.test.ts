import Type from 'typebox';
import { Agent, request } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import { routesOf } from './route.ts';
import type { Context } from './service.ts';
import { defineService } from './service.ts';
import { eventually, startPlatform, type TestPlatform } from './testing.ts';

describe('a process that is told to end', () => {
  let platform: TestPlatform | undefined;
  const agent = new Agent({ keepAliveTimeout: 60_000 });
  afterEach(async () => {
    await platform?.close();
    platform = undefined;
  });

  it('says that it is not ready and serves on, ending each connection with its answer; what is open is answered', async () => {
    let answer: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let asked = false;
    const slow = routesOf<Context>()({
      method: 'GET',
      path: '/slow',
      access: 'public',
      summary: 'Answers when the test says so.',
      answer: Type.Object({ done: Type.Boolean() }),
      problems: [],
      run: () => async () => {
        asked = true;
        await held;
        return { done: true };
      },
    });
    const alone = defineService({ name: 'audit', settings: {}, routes: [slow], open: async () => ({}) });
    platform = await startPlatform([alone], { DRAIN_SECONDS: '300' });
    const get = (path: string) => request(`${platform?.url}${path}`, { dispatcher: agent });
    await eventually(async () => {
      const before = await get('/health/ready');
      await before.body.dump();
      expect([before.statusCode, before.headers.connection]).toEqual([200, 'keep-alive']);
    });

    const left = platform.leave();
    const ready = await get('/health/ready');
    expect([ready.statusCode, await ready.body.json()]).toEqual([503, { status: 'draining' }]);
    const open = get('/slow');
    await eventually(() => expect(asked).toBe(true));
    const stopped = platform.stop(); // as when the time is over
    await eventually(() => expect(get('/health/live')).rejects.toThrow());
    answer();
    const { statusCode, headers, body } = await open;
    expect([statusCode, headers.connection, await body.json()]).toEqual([200, 'close', { done: true }]);
    await Promise.all([left, stopped]);
  });
});
