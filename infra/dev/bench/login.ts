import { type Measurement, onInstallation, people, runScript } from './bench.ts';
import { makeLoad } from './load.ts';
import { type Figure, ms, rate } from './report.ts';

const refreshConnections = 8;
const refreshRate = 200;

/** Sign-in beside bare hashing, and what a flood of sign-ins does to refresh. */
export const login: Measurement = async ({ seconds, say }) => {
  say('login');
  return onInstallation({}, async (installation) => {
    const { url } = installation;
    const accounts = await people(url, 16);
    const raw = await runScript('raw-hash.ts', String(seconds), '2');
    // Three connections keep both places busy and one waiting.
    const ours = (await makeLoad({ url, kind: 'login', connections: 3, seconds, accounts })).ok;
    say(`  raw ${rate(raw)}, ours ${rate(ours.perSecond)}`);

    const refreshing = (tokens: readonly string[]) =>
      makeLoad({
        url,
        kind: 'refresh',
        connections: refreshConnections,
        rate: refreshRate,
        seconds,
        refreshTokens: tokens,
      });
    const first = await people(url, refreshConnections);
    const idle = (await refreshing(first.map((person) => person.refresh_token))).ok;
    const second = await people(url, refreshConnections);
    const [flood, during] = await Promise.all([
      makeLoad({ url, kind: 'login', connections: 64, rate: raw * 2, seconds, accounts }),
      refreshing(second.map((person) => person.refresh_token)),
    ]);
    const busy = flood.refused['503'];
    say(
      `  idle p99 ${ms(idle.p99)}, in the flood ${ms(during.ok.p99)}; refused ${busy?.count ?? 0}, p99 ${ms(busy?.p99 ?? Number.NaN)}`,
    );
    const figures: Figure[] = [
      {
        what: 'login, argon2id 64 MiB t=3',
        value: rate(ours.perSecond),
        raw: `${rate(raw)} (hashes, two at a time)`,
        ratio: ours.perSecond / raw,
        bar: '≥ 0.9',
        met: ours.perSecond / raw >= 0.9,
      },
      {
        what: `refresh p99 in a login flood of twice the capacity (${refreshRate}/s on ${refreshConnections} connections)`,
        value: `${ms(during.ok.p99)} (idle ${ms(idle.p99)})`,
        raw: '',
        ratio: during.ok.p99 / idle.p99,
        bar: '≤ 3 × idle',
        met: during.ok.p99 <= 3 * idle.p99,
      },
      {
        what: 'hash_busy in the flood, p99',
        value: busy === undefined ? 'none refused' : `${ms(busy.p99)} (${busy.count} refused)`,
        raw: '',
        ratio: undefined,
        bar: '< 100 ms',
        met: busy !== undefined && busy.p99 < 100,
      },
    ];
    return figures;
  });
};
