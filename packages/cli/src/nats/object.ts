import type { Api, Json } from '../api.ts';
import { Fault } from '../fault.ts';

/** One sort of NATS objects: how people call it, and where the API keeps it. */
export interface Kind {
  readonly noun: 'operator' | 'account' | 'role' | 'user' | 'cluster';
  readonly path: string;
}

const kind = (noun: Kind['noun']): Kind => ({ noun, path: `/api/nats/${noun}s` });
export const operators = kind('operator');
export const accounts = kind('account');
export const roles = kind('role');
export const users = kind('user');
export const clusters = kind('cluster');

/** An object as the lists show it. */
export interface Found extends Json {
  readonly id: string;
  readonly name: string;
}

/** Where a name is to be looked up. */
export interface Scope {
  readonly operator?: string;
  readonly account?: string;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const PUBLIC_KEY = /^[OAU][A-Z2-7]{55}$/;
const PAGE = '200';
const CANDIDATES_SHOWN = 10;

/** Every item of a list, at most `max`; `more`: whether some were left. */
export async function listAll(
  api: Api,
  path: string,
  query: Readonly<Record<string, string | undefined>>,
  max = Number.POSITIVE_INFINITY,
): Promise<{ readonly items: Found[]; readonly more: boolean }> {
  const items: Found[] = [];
  let cursor: string | undefined;
  do {
    const asked = Object.entries({ ...query, limit: PAGE, cursor }).filter(
      ([, value]) => value !== undefined,
    );
    const page = await api.request('GET', `${path}?${new URLSearchParams(asked as [string, string][])}`);
    if (!Array.isArray(page.items))
      throw new Fault(`${api.url}${path} answered with something else than a list`);
    items.push(...(page.items as Found[]));
    cursor = typeof page.next_cursor === 'string' ? page.next_cursor : undefined;
  } while (cursor !== undefined && items.length < max);
  return { items: items.slice(0, max), more: cursor !== undefined || items.length > max };
}

/**
 * The one object of that name, id or public key. A name must be the whole name; upper and lower case do not matter, as
 * in the API's own rule of uniqueness.
 * @throws Fault when there is none (1), or when several answer to the name (2, with the candidates)
 */
export async function find(
  api: Api,
  { noun, path }: Kind,
  reference: string,
  filters: Readonly<Record<string, string | undefined>> = {},
): Promise<Found> {
  if (reference === '') throw new Fault(`name the ${noun}`, 2);
  if (UUID.test(reference)) return (await api.request('GET', `${path}/${reference}`)) as Found;
  const { items } = await listAll(api, path, { ...filters, q: reference });
  const isKey = PUBLIC_KEY.test(reference);
  const wanted = reference.toLowerCase();
  const found = items.filter((one) =>
    isKey ? one.public_key === reference : one.name.toLowerCase() === wanted,
  );
  const [first, ...others] = found;
  if (first === undefined) throw missing(noun, reference, items);
  if (others.length > 0)
    throw new Fault(
      `${found.length} ${noun}s are named ${reference}: use ${remedies[noun]} or the id`,
      2,
      found.slice(0, CANDIDATES_SHOWN).map(described),
    );
  return first;
}

const remedies: Readonly<Record<Kind['noun'], string>> = {
  operator: 'the public key',
  account: '--operator',
  role: '--account',
  user: '--account',
  cluster: 'its whole name',
};

function missing(noun: string, reference: string, similar: readonly Found[]): Fault {
  const names = similar.slice(0, CANDIDATES_SHOWN).map(({ name }) => name);
  const hint = names.length === 0 ? '' : `; similar: ${names.join(', ')}`;
  return new Fault(`there is no ${noun} ${reference}${hint}`);
}

function described(one: Found): string {
  const about = ['public_key', 'operator_id', 'account_id', 'tenant_id']
    .filter((field) => typeof one[field] === 'string')
    .map((field) => `${field} ${one[field]}`);
  return [one.id, one.name, ...about].join('  ');
}

/** The operator of that name; without one the platform's own, or the only one there is. */
export async function findOperator(api: Api, reference: string | undefined): Promise<Found> {
  if (reference !== undefined) return find(api, operators, reference);
  const { items } = await listAll(api, operators.path, {});
  const own = items.find((one) => one.own === true);
  if (own !== undefined) return own;
  const [only, ...others] = items;
  if (only === undefined) throw new Fault('there is no operator yet: gatehouse operator create <name>');
  if (others.length > 0)
    throw new Fault('there are several operators: say --operator', 2, items.map(described));
  return only;
}

/** The account of that name, in the named operator; `$SYS` is the operator's system account, whatever its name. */
export async function findAccount(api: Api, reference: string, scope: Scope): Promise<Found> {
  if (/^\$sys$/i.test(reference)) {
    const operator = await findOperator(api, scope.operator);
    if (typeof operator.system_account_id !== 'string')
      throw new Fault(`the operator ${operator.name} has no system account`);
    return find(api, accounts, operator.system_account_id);
  }
  return find(api, accounts, reference, await operatorFilter(api, scope));
}

/** A role or a user, in the named account. */
export async function findInAccount(api: Api, sort: Kind, reference: string, scope: Scope): Promise<Found> {
  return find(api, sort, reference, await accountFilter(api, scope));
}

/** `operator_id` of the named operator, or no filter. */
export async function operatorFilter(api: Api, { operator }: Scope): Promise<Record<string, string>> {
  return operator === undefined ? {} : { operator_id: (await find(api, operators, operator)).id };
}

/** `account_id` of the named account, or no filter. */
export async function accountFilter(api: Api, scope: Scope): Promise<Record<string, string>> {
  if (scope.account !== undefined) return { account_id: (await findAccount(api, scope.account, scope)).id };
  if (scope.operator !== undefined)
    throw new Fault('--operator alone does not name an account: add --account', 2);
  return {};
}
