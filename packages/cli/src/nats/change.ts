import type { Command } from 'commander';
import type { Api, Json } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { type Globals, show } from '../output.ts';
import type { Found, Kind } from './object.ts';

/** What every command that changes something takes. */
export interface ChangeOptions extends Globals {
  readonly reason?: string;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly ifRevision?: string;
  readonly yes?: boolean;
}

/** Adds what every change takes. */
export function changing(command: Command): Command {
  return command
    .option('--reason <text>', 'why; kept in the audit')
    .option('--dry-run', 'only show what would change and whom it would reach');
}

/** Adds what changes of something that is there take. */
export function updating(command: Command): Command {
  return changing(command)
    .option('--if-revision <n>', 'only while it is at this revision, as "get" showed it')
    .option('--force', 'whatever was changed since it was read');
}

/** Adds what deletions take. */
export function deleting(command: Command): Command {
  return updating(command).option('--yes', 'do not ask');
}

/** Examples below a command's help. */
export function examples(command: Command, ...lines: readonly string[]): Command {
  const shown = lines.map((line) => `  gatehouse ${line}`).join('\n');
  return command.addHelpText('after', `\nExample${lines.length > 1 ? 's' : ''}:\n${shown}`);
}

const dryRun = ({ dryRun: dry }: ChangeOptions): string => (dry ? '?dry_run=true' : '');

/** Creates something, or adds to it: POST, and says what came of it. */
export async function create(
  api: Api,
  path: string,
  body: Json,
  about: { readonly options: ChangeOptions; readonly done: (answer: Json) => string },
): Promise<Json> {
  const { options, done } = about;
  const answer = await api.request('POST', `${path}${dryRun(options)}`, withReason(body, options));
  show(options, answer, sentence(done(answer), answer));
  return answer;
}

/** Changes an object as it was read: a change that came between is refused, unless `--force`. */
export async function update(
  api: Api,
  kind: Kind,
  found: Found,
  about: { readonly options: ChangeOptions; readonly body: Json },
): Promise<void> {
  const { options, body } = about;
  if (Object.keys(body).length === 0) throw new Fault('say what to change (see --help)', 2);
  const path = `${kind.path}/${found.id}`;
  const ifMatch = await revisionOf(api, path, options);
  const { body: answer } = await api.exchange('PATCH', `${path}${dryRun(options)}`, {
    body: withReason(body, options),
    ifMatch,
  });
  show(options, answer, sentence(`${kind.noun} ${found.name}: changed`, answer));
}

/**
 * Deletes an object after asking; the question says whom it reaches. `id` may lead to something below an object, as its
 * signing key; `revisionOf` then names the object whose revision counts.
 */
export async function remove(
  api: Api,
  kind: Kind,
  found: Pick<Found, 'id' | 'name'> & { readonly revisionOf?: string },
  about: {
    readonly options: ChangeOptions;
    readonly query?: Readonly<Record<string, string>>;
    readonly done?: string;
  },
): Promise<void> {
  const { options, query = {}, done = 'deleted' } = about;
  const path = `${kind.path}/${found.id}`;
  const ifMatch = await revisionOf(api, `${kind.path}/${found.revisionOf ?? found.id}`, options);
  const send = async (dry: boolean | undefined) => {
    const asked = new URLSearchParams({
      ...query,
      ...(options.reason !== undefined && { reason: options.reason }),
      ...(dry && { dry_run: 'true' }),
    });
    const { body } = await api.exchange('DELETE', `${path}${asked.size > 0 ? `?${asked}` : ''}`, { ifMatch });
    return body;
  };
  if (!options.dryRun && !options.yes) {
    const reach = affectedOf(await send(true));
    await confirm(
      `Delete the ${kind.noun} ${found.name}?${reach === '' ? '' : ` It reaches ${reach}.`}`,
      false,
    );
  }
  const answer = await send(options.dryRun);
  show(options, answer, sentence(`${kind.noun} ${found.name}: ${done}`, answer));
}

/** What If-Match says: the revision asked for, or the one that is there now. */
export async function revisionOf(
  api: Api,
  path: string,
  options: ChangeOptions,
): Promise<string | undefined> {
  if (options.force) return undefined;
  if (options.ifRevision !== undefined) {
    if (!/^[0-9]{1,18}$/.test(options.ifRevision)) throw new Fault('--if-revision must be a whole number', 2);
    return `"${options.ifRevision}"`;
  }
  return (await api.exchange('GET', path)).etag;
}

/** The body with the reason, when one was given. */
export function withReason(body: Json, { reason }: ChangeOptions): Json {
  return reason === undefined ? body : { ...body, reason };
}

/** What was done, or would be, in words: the claims that differ, and whom it reaches. */
export function sentence(done: string, answer: Json): string {
  const change = changeOf(answer);
  if (change === undefined) return done;
  const head = change.dry_run ? `dry run, nothing was changed. Would be: ${done}` : done;
  const reach = affectedOf(answer);
  return [
    head,
    ...change.diff.map(({ path, before, after }) => `  ${path}: ${valueText(before)} -> ${valueText(after)}`),
    ...(reach === '' ? [] : [`${change.dry_run ? 'would reach' : 'reaches'} ${reach}`]),
  ].join('\n');
}

interface Change {
  readonly dry_run: boolean;
  readonly diff: readonly { path: string; before: unknown; after: unknown }[];
  readonly affected: { accounts: number; users: number; disconnects: boolean; clusters: number };
}

const changeOf = (answer: Json): Change | undefined => answer.change as Change | undefined;

const valueText = (value: unknown): string =>
  value === null || value === undefined ? 'nothing' : JSON.stringify(value);

/** `1 account, 12 users and 2 clusters; live connections are closed`; empty when nobody is reached. */
function affectedOf(answer: Json): string {
  const affected = changeOf(answer)?.affected;
  if (affected === undefined) return '';
  const counted = (['account', 'user', 'cluster'] as const)
    .map((noun) => ({ noun, count: affected[`${noun}s`] }))
    .filter(({ count }) => count > 0)
    .map(({ noun, count }) => `${count} ${noun}${count === 1 ? '' : 's'}`);
  const closed = affected.disconnects ? 'live connections are closed' : '';
  const reached =
    counted.length > 1 ? `${counted.slice(0, -1).join(', ')} and ${counted.at(-1)}` : counted.join('');
  return [reached, closed].filter((part) => part !== '').join('; ');
}
