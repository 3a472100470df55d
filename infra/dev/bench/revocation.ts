import type { InstallationMode } from '@gatehouse/embedded';
import { type Measurement, onInstallation, people } from './bench.ts';
import { summarise } from './histogram.ts';
import { type Figure, ms } from './report.ts';

const rounds = 200;
// One protected route of every service, asked at the service itself: the gateway must not be what makes it true.
const guarded: readonly (readonly [service: string, path: string])[] = [
  ['auth', '/api/auth/me'],
  ['token', '/api/auth/sessions'],
  ['audit', '/api/audit/events?limit=1'],
];

/** From the answer of logout to refusal by every service. */
export const revocation: Measurement = async ({ say }) => {
  const figures: Figure[] = [];
  for (const mode of ['one', 'split'] as const) {
    say(`revocation, ${mode}`);
    figures.push(await inMode(mode));
  }
  return figures;
};

async function inMode(mode: InstallationMode): Promise<Figure> {
  return onInstallation(
    { mode, env: { ARGON2_MEMORY_KIB: '1024', ARGON2_ITERATIONS: '1' } },
    async (installation) => {
      const delays: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const [person] = await people(installation.url, 1);
        const headers = { authorization: `Bearer ${person?.access_token}` };
        const answer = await fetch(`${installation.url}/api/auth/logout`, { method: 'POST', headers });
        if (answer.status !== 204) throw new Error(`logout answered ${answer.status}`);
        const begun = performance.now();
        await Promise.all(
          guarded.map(async ([service, path]) => {
            for (;;) {
              const { status } = await fetch(`${installation.urlOf(service)}${path}`, { headers });
              if (status === 401) return;
            }
          }),
        );
        delays.push(performance.now() - begun);
      }
      const { p50, p99 } = summarise(delays, 0, 1);
      return {
        what: `revocation: answer of revoke to refusal by every service (${mode === 'one' ? 'one process' : 'a process a service'})`,
        value: `p99 ${ms(p99)}, p50 ${ms(p50)}`,
        raw: '',
        ratio: undefined,
        bar: 'p99 ≤ 200 ms',
        met: p99 <= 200,
      };
    },
  );
}
