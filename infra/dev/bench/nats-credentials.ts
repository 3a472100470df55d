import type { Installation } from '@gatehouse/embedded';
import { copyOfSchema, type Measurement, onInstallation, people, post, query, runScript } from './bench.ts';
import { median, type Summary } from './histogram.ts';
import { makeLoad } from './load.ts';
import { ms, rate } from './report.ts';

const connections = 32;
const users = 256;
const bar = 2000;

/**
 * NATS credentials issued by one process over HTTP: JWT signed, the user's seed opened, ledger and event written. Beside
 * it the raw limits of the same run: key, JWT and creds made on one thread; and the ledger row with its event written a
 * statement a row. In turn, three times.
 */
export const natsCredentials: Measurement = async ({ seconds, say }) => {
  say('NATS credentials');
  return onInstallation({}, async (installation) => {
    const { token, paths } = await identities(installation);
    const rawUrl = await copyOfSchema(installation);
    const signing: number[] = [];
    const writing: number[] = [];
    const ours: Summary[] = [];
    for (let round = 0; round < 3; round += 1) {
      signing.push(await runScript('raw-credential-sign.ts', String(seconds)));
      writing.push(await runScript('raw-credential-row.ts', rawUrl, String(seconds), '8'));
      const load = { url: installation.url, kind: 'post' as const, connections, seconds };
      const result = await makeLoad({ ...load, paths, tokens: [token] });
      const refused = Object.values(result.refused).reduce((sum, one) => sum + one.count, 0);
      ours.push({ ...result.ok, errors: result.ok.errors + refused });
      say(
        `  made ${rate(signing.at(-1) ?? 0)}, written ${rate(writing.at(-1) ?? 0)}, ours ${rate(result.ok.perSecond)}, p99 ${ms(result.ok.p99)}, errors ${ours.at(-1)?.errors}`,
      );
    }
    const perSecond = median(ours.map((one) => one.perSecond));
    const p99 = median(ours.map((one) => one.p99));
    const errors = ours.reduce((sum, one) => sum + one.errors, 0);
    return [
      {
        what: `NATS credentials issued, ${users} users, ${connections} connections`,
        value: rate(perSecond),
        raw: `${rate(median(writing))} (a row and its event a statement, 8 connections)`,
        ratio: perSecond / median(writing),
        bar: `≥ ${rate(bar)}`,
        met: perSecond >= bar,
      },
      {
        what: 'NATS credentials: p99, errors',
        value: `${ms(p99)}, ${errors}`,
        raw: `${rate(median(signing))} (key, JWT and creds made, one thread)`,
        ratio: perSecond / median(signing),
        bar: '≤ 50 ms, 0',
        met: p99 <= 50 && errors === 0,
      },
    ];
  });
};

/** An account with users, half of them in a role, and an administrator's token. */
export async function identities(installation: Installation): Promise<{ token: string; paths: string[] }> {
  const { url } = installation;
  const [person] = await people(url, 1);
  const email = person?.email ?? '';
  await query(
    installation,
    `update auth.user_account set role = 'PLATFORM_ADMIN' where email = '${email.replaceAll("'", '')}'`,
  );
  const signedIn = await post(url, '/api/auth/login', { email, password: person?.password });
  const { access_token: token } = signedIn as { access_token: string };
  const make = async (kind: string, body: object) =>
    (await post(url, `/api/nats/${kind}`, body, token)) as { id: string };
  const operator = await make('operators', { name: 'bench' });
  const account = await make('accounts', { operator_id: operator.id, name: 'bench' });
  const role = await make('roles', {
    account_id: account.id,
    name: 'bench',
    template: { pub: { allow: ['bench.{{name()}}.>'] } },
  });
  const paths: string[] = [];
  for (let at = 0; at < users; at += 1) {
    const body = { account_id: account.id, name: `user-${at}`, ...(at % 2 === 0 && { role_id: role.id }) };
    paths.push(`/api/nats/users/${(await make('users', body)).id}/credentials`);
  }
  return { token, paths };
}
