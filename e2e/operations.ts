import { randomUUID } from 'node:crypto';
import type { Api } from '@gatehouse/kit/testing';
import { goodPassword } from '@gatehouse/kit/testing';
import { createNkey, type NkeyKind } from '@gatehouse/nats-claims';

const nkeys: Readonly<Record<string, NkeyKind>> = { A: 'account', O: 'operator', U: 'user' };

interface Schema {
  readonly type?: string;
  readonly pattern?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

/** One operation of the platform, read from its own OpenAPI document: a new route is covered without anybody remembering. */
export interface Operation {
  readonly method: string;
  /** As in the document: `/api/admin/users/{id}`. */
  readonly path: string;
  /** `public`, `user`, or the permission that it needs. */
  readonly access: string;
  /** The roles that hold that permission; none for public routes and those of every user. */
  readonly roles: readonly string[];
  readonly body: Schema | undefined;
  readonly query: readonly string[];
  readonly querySchemas: Readonly<Record<string, Schema>>;
  readonly queryRequired: readonly string[];
  readonly pathParameters: readonly string[];
  readonly pathSchemas: Readonly<Record<string, Schema>>;
  /** Statuses that the document declares. */
  readonly statuses: readonly number[];
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema?: Schema;
}

interface Document {
  readonly paths: Record<string, Record<string, Record<string, unknown>>>;
}

/** Every operation of the route table. */
export async function operationsOf(api: Api): Promise<Operation[]> {
  const document = (await api.get('/openapi.json')).body as Document;
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, about]) => operation(path, method, about)),
  );
}

function operation(path: string, method: string, about: Record<string, unknown>): Operation {
  const parameters = (about.parameters ?? []) as Parameter[];
  const inPath = parameters.filter((one) => one.in === 'path');
  const inQuery = parameters.filter((one) => one.in === 'query');
  const content = (about.requestBody as { content?: Record<string, { schema: Schema }> } | undefined)
    ?.content;
  return {
    method: method.toUpperCase(),
    path,
    access: (about['x-access'] ?? 'public') as string,
    roles: (about['x-roles'] ?? []) as string[],
    body: content?.['application/json']?.schema,
    query: inQuery.map(({ name }) => name),
    querySchemas: schemasOf(inQuery),
    queryRequired: inQuery.filter(({ required }) => required).map(({ name }) => name),
    pathParameters: inPath.map(({ name }) => name),
    pathSchemas: schemasOf(inPath),
    statuses: Object.keys((about.responses ?? {}) as object).map(Number),
  };
}

const schemasOf = (parameters: readonly Parameter[]) =>
  Object.fromEntries(parameters.map(({ name, schema }) => [name, schema ?? {}]));

/** Where an operation names something that belongs to somebody. */
export interface NamedObject {
  readonly place: 'path' | 'query' | 'body';
  readonly name: string;
}

/** Everything that an operation names by an id or a public key. Those in the path are one name each. */
export function namedObjects(operation: Operation): NamedObject[] {
  const inPlace = (place: NamedObject['place'], names: readonly string[]) =>
    names.map((name) => ({ place, name }));
  const ids = (schemas: Readonly<Record<string, Schema>>) =>
    Object.entries(schemas)
      .filter(([name, schema]) => isId(name, schema))
      .map(([name]) => name);
  return [
    ...inPlace('path', operation.pathParameters),
    ...inPlace('query', ids(operation.querySchemas)),
    ...inPlace('body', ids(operation.body?.properties ?? {})),
  ];
}

// A trace belongs to a request, not to a tenant.
const isId = (name: string, schema: Schema): boolean =>
  name !== 'trace_id' && (name.endsWith('_id') || name === 'id' || isUuid(schema));

const isUuid = (schema: Schema): boolean =>
  schema.pattern?.includes('{8}-') === true || schema.anyOf?.some(isUuid) === true;

/** The path with an id or key of nobody in each place, or with the given values. */
export function pathOf(operation: Operation, values: Readonly<Record<string, string>> = {}): string {
  return operation.path.replace(
    /\{([a-z_]+)\}/g,
    (_, name: string) => values[name] ?? ofNobody(operation.pathSchemas[name]),
  );
}

const byName: Readonly<Record<string, () => unknown>> = {
  email: () => `sample-${randomUUID()}@example.com`,
  password: () => goodPassword,
  old_password: () => goodPassword,
  new_password: () => `${goodPassword}-new`,
  reason: () => 'a test',
  refresh_token: () => 'A'.repeat(43),
};

const ofNobody = (schema: Schema = {}): string => publicKeyFor(schema) ?? randomUUID();

/** A body that the schema takes. */
export function sampleOf(schema: Schema): Record<string, unknown> {
  const entries = Object.entries(schema.properties ?? {}).filter(
    // A reason is optional in the schema so that its absence has a problem of its own.
    ([name]) => schema.required?.includes(name) || name === 'reason',
  );
  return Object.fromEntries(entries.map(([name, property]) => [name, sampleValue(name, property)]));
}

/** A query that the operation takes: what it requires, and a reason where it asks for one. Begins with `?`, or is empty. */
export function sampleQuery({ querySchemas, queryRequired }: Operation): string {
  const entries = Object.entries(querySchemas).filter(
    ([name]) => queryRequired.includes(name) || name === 'reason',
  );
  const query = new URLSearchParams();
  for (const [name, schema] of entries) query.set(name, String(sampleValue(name, schema)));
  return query.size === 0 ? '' : `?${query}`;
}

function sampleValue(name: string, schema: Schema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.anyOf?.[0] !== undefined) return sampleValue(name, schema.anyOf[0]);
  const known = byName[name];
  if (known !== undefined) return known();
  if (schema.type === 'boolean') return true;
  if (schema.type === 'integer' || schema.type === 'number') return 1;
  if (isUuid(schema)) return randomUUID();
  return publicKeyFor(schema) ?? 'sample';
}

function publicKeyFor({ pattern = '' }: Schema): string | undefined {
  const letter = /([AOU])\[A-Z2-7\]\{55\}/.exec(pattern)?.[1];
  return letter === undefined ? undefined : createNkey(nkeys[letter] ?? 'user').publicKey;
}
