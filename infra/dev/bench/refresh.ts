import { copyOfSchema, type Measurement, onInstallation, people, runScript } from './bench.ts';
import { median, type Summary } from './histogram.ts';
import { makeLoad } from './load.ts';
import { type Figure, ms, rate } from './report.ts';

const connections = 32;

/** Refresh with rotation beside the bare statement, for the two kinds of key. Raw and ours in turn, three times. */
export const refresh: Measurement = async (options) => [
  ...(await withKey('RS256', 0.33, options)),
  ...(await withKey('ES256', 0.45, options)),
];

async function withKey(
  algorithm: string,
  bar: number,
  { seconds, say }: Parameters<Measurement>[0],
): Promise<Figure[]> {
  say(`refresh with ${algorithm}`);
  return onInstallation({ env: { JWT_ALGORITHM: algorithm } }, async (installation) => {
    const raw: number[] = [];
    const ours: Summary[] = [];
    const rawUrl = await copyOfSchema(installation);
    for (let round = 0; round < 3; round += 1) {
      raw.push(await runScript('raw-rotation.ts', rawUrl, String(seconds), '8'));
      const signedIn = await people(installation.url, connections);
      const result = await makeLoad({
        url: installation.url,
        kind: 'refresh',
        connections,
        seconds,
        refreshTokens: signedIn.map((person) => person.refresh_token),
      });
      const refused = Object.values(result.refused).reduce((sum, one) => sum + one.count, 0);
      ours.push({ ...result.ok, errors: result.ok.errors + refused });
      say(
        `  raw ${rate(raw.at(-1) ?? 0)}, ours ${rate(result.ok.perSecond)}, p99 ${ms(result.ok.p99)}, errors ${ours.at(-1)?.errors}`,
      );
    }
    const rawRate = median(raw);
    const rateOurs = median(ours.map((one) => one.perSecond));
    const p99 = median(ours.map((one) => one.p99));
    const errors = ours.reduce((sum, one) => sum + one.errors, 0);
    const ratio = rateOurs / rawRate;
    return [
      {
        what: `refresh with rotation, ${algorithm}, ${connections} connections`,
        value: rate(rateOurs),
        raw: `${rate(rawRate)} (one statement, pg, 8 connections)`,
        ratio,
        bar: `≥ ${bar}`,
        met: ratio >= bar,
      },
      {
        what: `refresh ${algorithm}: p99, errors`,
        value: `${ms(p99)}, ${errors}`,
        raw: '',
        ratio: undefined,
        bar: '≤ 30 ms, 0',
        met: p99 <= 30 && errors === 0,
      },
    ];
  });
}
