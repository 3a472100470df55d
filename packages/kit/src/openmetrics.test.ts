import { describe, expect, it } from 'vitest';
import { createMetrics } from './metrics.ts';
import { openMetrics, wantsOpenMetrics } from './openmetrics.ts';

const labels = { service: 'token', route: '/api/auth/refresh', method: 'POST', status: '200' };
const trace_id = '4bf92f3577b34da6a3ce929d0e0e4736';

describe('the metrics in OpenMetrics', () => {
  it('keep the trace of the last request in each bucket, and none where none was given', async () => {
    const { registry, httpDuration } = createMetrics({ runtime: false });
    httpDuration.observe({ labels, value: 0.004, exemplarLabels: { trace_id } });
    httpDuration.observe({ labels, value: 20, exemplarLabels: { trace_id } });
    httpDuration.observe({ labels, value: 0.2 });
    const told = (await openMetrics(registry)).split('\n').filter((line) => line.includes(' # '));
    expect(told).toEqual([
      expect.stringMatching(
        /^auth_http_request_duration_seconds_bucket\{le="0.005",service="token",.*\} 1 # \{trace_id="4bf9.*4736"\} 0\.004 \d+(\.\d+)?$/,
      ),
      expect.stringMatching(/_bucket\{le="\+Inf",.*\} 3 # \{trace_id="4bf9.*4736"\} 20 \d+/),
    ]);
  });

  it('are the same series as in the older format, so that no dashboard tells which one was asked for', async () => {
    const { registry, httpDuration, login, dbPool } = createMetrics({ runtime: true });
    httpDuration.observe({ labels, value: 0.004, exemplarLabels: { trace_id } });
    login.inc({ result: 'success', strategy: 'password' });
    dbPool.set({ service: 'token', state: 'quoted "\\\n' }, 3);
    const seriesOf = (text: string) =>
      text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => line.replace(/ [^ ]+( # .*)?$/, ''))
        .map((line) => line.split(/[{,}]/).sort().join());
    const open = await openMetrics(registry);
    expect(seriesOf(open).sort()).toEqual(seriesOf(await registry.metrics()).sort());
    expect(open).toMatch(/^# TYPE auth_login counter\n# HELP auth_login /m);
    expect(open.endsWith('\n# EOF\n')).toBe(true);
    // The other rendering must not have changed the registry.
    expect(await registry.metrics()).toContain('# TYPE auth_login_total counter');
  });

  it.each([
    ['application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1', true],
    ['text/plain', false],
    ['application/openmetrics-text;q=0, text/plain', false],
    ['*/*', false],
    [undefined, false],
  ])('are what %s asks for: %s', (accept, wanted) => {
    expect(wantsOpenMetrics(accept)).toBe(wanted);
  });
});
