// The load generator: a process of its own, told its plan over IPC, answers with what it measured.
import { setTimeout as delay } from 'node:timers/promises';
import { type Answer, Connection } from './connection.ts';
import { type Summary, summarise } from './histogram.ts';
import type { LoadPlan, LoadResult } from './load.ts';

type Shoot = () => Promise<Answer>;

/** What each connection sends, again and again. */
function shooterOf(plan: LoadPlan, connection: Connection, index: number): Shoot {
  if (plan.kind === 'refresh') {
    let token = plan.refreshTokens?.[index] ?? '';
    return async () => {
      const answer = await connection.send('POST', '/api/auth/refresh', `{"refresh_token":"${token}"}`);
      if (answer.status === 200) token = JSON.parse(answer.body).refresh_token;
      return answer;
    };
  }
  if (plan.kind === 'login') {
    const { email, password } = plan.accounts?.[index % plan.accounts.length] ?? {};
    const body = JSON.stringify({ email, password });
    return () => connection.send('POST', '/api/auth/login', body);
  }
  const tokens = plan.tokens ?? [];
  if (plan.kind === 'post') {
    const paths = plan.paths ?? ['/'];
    let turn = index;
    return () => {
      const at = turn;
      turn += plan.connections;
      const header = `authorization: Bearer ${tokens[at % tokens.length]}\r\n`;
      return connection.send('POST', paths[at % paths.length] ?? '/', '{}', header);
    };
  }
  let turn = index;
  return () => {
    const token = tokens[turn++ % Math.max(1, tokens.length)];
    return connection.send('GET', plan.path ?? '/', '', token ? `authorization: Bearer ${token}\r\n` : '');
  };
}

async function run(plan: LoadPlan): Promise<LoadResult> {
  const latencies = new Map<number, number[]>();
  let errors = 0;
  const begun = performance.now();
  const until = begun + plan.seconds * 1000;
  const gap = plan.rate === undefined ? 0 : (plan.connections / plan.rate) * 1000;

  await Promise.all(
    Array.from({ length: plan.connections }, async (_, index) => {
      const connection = await Connection.open(plan.url);
      const shoot = shooterOf(plan, connection, index);
      let due = performance.now() + (gap * index) / plan.connections;
      while (performance.now() < until) {
        if (gap > 0) {
          const wait = due - performance.now();
          if (wait > 0) await delay(wait);
          // An open loop: time lost waiting for a late answer counts as latency of the next request.
          due += gap;
        }
        const sent = performance.now();
        const answer = await shoot().catch(() => undefined);
        if (answer === undefined) {
          errors += 1;
          break;
        }
        const list = latencies.get(answer.status) ?? [];
        list.push(performance.now() - sent);
        latencies.set(answer.status, list);
      }
      connection.close();
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  let ok: number[] = [];
  const refused: Record<string, Summary> = {};
  for (const [status, list] of latencies) {
    if (status < 300) ok = ok.concat(list);
    else refused[status] = summarise(list, 0, seconds);
  }
  return { ok: summarise(ok, errors, seconds), refused };
}

process.once('message', async (plan) => {
  process.send?.(await run(plan as LoadPlan));
});
