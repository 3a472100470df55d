import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { Fault } from '../fault.ts';
import { type Globals, showObject, showRows } from '../output.ts';
import { type Found, type Kind, listAll } from './object.ts';

/** What every list takes. */
export interface ListOptions extends Globals {
  readonly search?: string;
  readonly tag?: string;
  readonly limit?: string;
}

const LIMIT_DEFAULT = '1000';

/** Adds what every list takes. */
export function listing(
  command: Command,
  { search = true, tags = false }: { readonly search?: boolean; readonly tags?: boolean } = {},
): Command {
  if (search) command.option('--search <text>', 'part of the name, or the beginning of the public key');
  if (tags) command.option('--tag <tag>', 'only those with this tag');
  return command.option('--limit <n>', 'at most this many, the newest first', LIMIT_DEFAULT);
}

/** Shows a list; says on standard error when there are more. */
export async function showList(
  path: string,
  options: ListOptions,
  about: {
    readonly columns: readonly string[];
    readonly filters?: (api: Api) => Promise<Readonly<Record<string, string | undefined>>>;
    readonly row?: (item: Found) => Json;
  },
): Promise<void> {
  const { search, tag, limit = LIMIT_DEFAULT } = options;
  if (!/^[1-9][0-9]{0,6}$/.test(limit)) throw new Fault('--limit must be a whole number from 1', 2);
  const api = new Api(options.url);
  const query = { ...(await about.filters?.(api)), q: search, tag };
  const { items, more } = await listAll(api, path, query, Number(limit));
  showRows(options, options.json ? items : items.map(about.row ?? ((item) => item)), about.columns);
  if (more) console.error(`there are more: say --limit, or narrow the search`);
}

/** Shows one object; `jwtOnly`: its JWT and nothing else. */
export async function showOne(
  kind: Kind,
  options: Globals & { readonly jwt?: boolean },
  wanted: (api: Api) => Promise<Found>,
): Promise<void> {
  const api = new Api(options.url);
  const found = await api.request('GET', `${kind.path}/${(await wanted(api)).id}`);
  if (!options.jwt) showObject(options, found, ['jwt']);
  else if (typeof found.jwt === 'string') console.log(found.jwt);
  else throw new Fault(`the ${kind.noun} has no JWT`);
}
