import { readFileSync } from 'node:fs';
import type { Api, Json } from '../api.ts';
import { Fault } from '../fault.ts';
import { send } from '../send.ts';
import { examineByApi } from './administration.ts';
import { type Check, failed, ok, skipped, spoken, warning } from './check.ts';
import { skew } from './database.ts';

const HEALTH_TIMEOUT_MS = 6_000;
/** The header counts whole seconds. */
const DATE_GRAIN_MS = 1_000;

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

interface Report {
  readonly status?: unknown;
  readonly version?: unknown;
  readonly uptime_seconds?: unknown;
  readonly components?: unknown;
}

/** The installation as its users reach it: `GET /health`, which needs no login, and the clock in its answer. */
export async function examineEdge(url: string): Promise<readonly Check[]> {
  const name = 'health';
  const before = Date.now();
  let answer: Response;
  let report: Report;
  try {
    answer = await send(url, { method: 'GET', path: '/health', asked: { timeoutMs: HEALTH_TIMEOUT_MS } });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const [finding = '', remedy] = error.message.split(/: (.*)/s);
    return [failed(name, finding, { remedy })];
  }
  const after = Date.now();
  try {
    report = (await answer.json()) as Report;
  } catch {
    report = {};
  }
  if (!Array.isArray(report.components))
    return [
      failed(name, `${url} answers ${answer.status}, and not as Gatehouse does`, {
        remedy: 'is --url right? A proxy in front may answer in place of the gateway',
      }),
    ];
  return [judgeReport(url, report), ...dateOf(answer, before, after), ...sameRelease(report)];
}

function judgeReport(url: string, { status, uptime_seconds, components }: Report): Check {
  const unwell = (components as Json[]).filter((one) => one.status !== 'healthy');
  const details = unwell.map((one) => {
    const about = JSON.stringify(one.details ?? {});
    return `${one.name}: ${one.status}${about === '{}' ? '' : ` ${about}`}`;
  });
  const finding = `${url} is ${status}, up for ${spoken(Number(uptime_seconds) || 0)}`;
  const remedy = 'docs/runbook.md has a section for each part; "Where to look first" leads there';
  if (status === 'healthy') return ok('health', finding);
  return status === 'degraded'
    ? warning('health', finding, { details, remedy })
    : failed('health', finding, { details, remedy });
}

function dateOf(answer: Response, before: number, after: number): Check[] {
  const theirs = Date.parse(answer.headers.get('date') ?? '');
  if (Number.isNaN(theirs)) return [];
  return [skew('health.clock', theirs, { before, after, of: 'the installation', grain: DATE_GRAIN_MS })];
}

function sameRelease(report: Report): Check[] {
  if (report.version === version) return [];
  return [
    warning('health.version', `the installation is ${report.version}, this command is ${version}`, {
      remedy: 'use the command of the same release: migrations and checks are of one release',
    }),
  ];
}

/** Who is signed in, and what only an administrator is told; `local`: the database was looked into already. */
export async function examineSignedIn(api: Api, local: boolean): Promise<readonly Check[]> {
  const name = 'login';
  if (!(await api.signedIn()))
    return [
      skipped(
        name,
        `not signed in at ${api.url}`,
        local ? undefined : 'gatehouse login: then this shows more',
      ),
    ];
  try {
    const me = await api.request('GET', '/api/auth/me');
    const roles = Array.isArray(me.roles) ? me.roles.join(', ') : '';
    const signedIn = ok(name, `${me.email} (${roles})`);
    return local ? [signedIn] : [signedIn, ...(await examineByApi(api))];
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return [warning(name, error.message, { remedy: 'gatehouse login' })];
  }
}
