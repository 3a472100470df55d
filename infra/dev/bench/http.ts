import { bareServer, type Measurement, onInstallation, people } from './bench.ts';
import { median } from './histogram.ts';
import { makeLoad } from './load.ts';
import { type Figure, rate } from './report.ts';

const connections = 50;

/** JWKS, health and a protected route beside a bare Fastify route, in turn, three times. */
export const http: Measurement = async ({ seconds, say }) => {
  say('http');
  const bare = await bareServer();
  try {
    return await onInstallation({}, async ({ url }) => {
      const signedIn = await people(url, 32);
      const many = signedIn.map((person) => person.access_token);
      const loads = {
        bare: { url: bare.url, path: '/' },
        jwks: { url, path: '/.well-known/jwks.json' },
        health: { url, path: '/health/live' },
        protected: { url, path: '/protected/ping', tokens: many },
      };
      const rates: Record<string, number[]> = {};
      for (let round = 0; round < 3; round += 1) {
        for (const [name, load] of Object.entries(loads)) {
          const result = await makeLoad({ kind: 'get', connections, seconds, ...load });
          if (Object.keys(result.refused).length > 0)
            say(`  ${name}: refused ${JSON.stringify(result.refused)}`);
          rates[name] = [...(rates[name] ?? []), result.ok.perSecond];
        }
      }
      const of = (name: string) => median(rates[name] ?? []);
      say(
        `  ${Object.keys(loads)
          .map((name) => `${name} ${rate(of(name))}`)
          .join(', ')}`,
      );
      const figure = (what: string, name: string, bar: number): Figure => ({
        what,
        value: rate(of(name)),
        raw: `${rate(of('bare'))} (bare Fastify route)`,
        ratio: of(name) / of('bare'),
        bar: `≥ ${bar}`,
        met: of(name) / of('bare') >= bar,
      });
      return [
        figure(`JWKS, ${connections} connections`, 'jwks', 0.5),
        figure('health (live)', 'health', 0.5),
        figure('protected route: token verified, revocation checked (32 tokens in turn)', 'protected', 0.25),
      ];
    });
  } finally {
    bare.stop();
  }
};
