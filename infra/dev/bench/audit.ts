import { setTimeout as delay } from 'node:timers/promises';
import { type Measurement, onInstallation, people, query } from './bench.ts';
import { makeLoad } from './load.ts';
import { ms } from './report.ts';

const eventsPerSecond = 500;

/** From the commit of a refresh to its searchable audit row, at a steady rate of events. */
export const audit: Measurement = async ({ seconds, say }) => {
  say('audit');
  return onInstallation({}, async (installation) => {
    const signedIn = await people(installation.url, 32);
    const load = await makeLoad({
      url: installation.url,
      kind: 'refresh',
      connections: 32,
      rate: eventsPerSecond,
      seconds: seconds * 2,
      refreshTokens: signedIn.map((person) => person.refresh_token),
    });
    await delay(3000);
    // recorded_at is taken when the batch's transaction begins; its commit follows within the same few milliseconds.
    const [row] = await query<{ rows: number; p50: number; p99: number }>(
      installation,
      `select count(*)::int as rows,
         percentile_cont(0.5) within group (order by extract(epoch from recorded_at - occurred_at) * 1000) as p50,
         percentile_cont(0.99) within group (order by extract(epoch from recorded_at - occurred_at) * 1000) as p99
       from audit.event where type = 'session.refreshed'`,
    );
    const { rows = 0, p50 = Number.NaN, p99 = Number.NaN } = row ?? {};
    say(`  ${load.ok.count} refreshes, ${rows} rows, p50 ${ms(p50)}, p99 ${ms(p99)}`);
    return [
      {
        what: `commit to searchable audit row at ${eventsPerSecond} events/s`,
        value: `p99 ${ms(p99)}, p50 ${ms(p50)}; ${rows} of ${load.ok.count} recorded`,
        raw: '',
        ratio: undefined,
        bar: 'p99 ≤ 1 s, all',
        met: p99 <= 1000 && rows === load.ok.count,
      },
    ];
  });
};
