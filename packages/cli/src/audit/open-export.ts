import { Api, Refusal } from '../api.ts';
import { Fault } from '../fault.ts';
import { send } from '../send.ts';

/** An export under way. */
export interface OpenExport {
  readonly body: ReadableStream<Uint8Array>;
  /** To go on with it after it broke off; undefined when that cannot be. */
  readonly cursor: string | undefined;
  /** Records to look at, where the installation knows. */
  readonly total: number | undefined;
}

/** As long as it takes: what ends an export is its last record, or a connection that broke. */
const NO_TIMEOUT_MS = 2 ** 31 - 1;

/** Begins an export, or goes on with one. @throws Fault with the problem's sentence */
export async function openExport(
  url: string,
  query: Readonly<Record<string, string | undefined>>,
): Promise<OpenExport> {
  const api = new Api(url);
  const given = Object.entries(query).filter((one): one is [string, string] => one[1] !== undefined);
  const answer = await send(api.url, {
    method: 'GET',
    path: `/api/audit/export?${new URLSearchParams(given)}`,
    asked: { timeoutMs: NO_TIMEOUT_MS },
    token: await api.token(),
  });
  if (!answer.ok) {
    const problem = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
    throw new Refusal(answer.status, problem, answer.headers.get('retry-after'));
  }
  if (answer.body === null) throw new Fault('the installation answered with nothing');
  const total = Number(answer.headers.get('gatehouse-export-total') ?? Number.NaN);
  return {
    body: answer.body,
    cursor: answer.headers.get('gatehouse-export-cursor') ?? undefined,
    total: Number.isNaN(total) ? undefined : total,
  };
}
