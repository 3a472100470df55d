import type { TSchema } from 'typebox';
import { type Permission, rolesWith } from './permission.ts';
import { type ProblemCode, problems } from './problem.ts';
import type { Access, Route } from './route.ts';

/** The OpenAPI 3.1 paths of a service's routes; TypeBox schemas are JSON Schema already. */
export function openApiPaths(service: string, routes: readonly Route<never>[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:([a-z_]+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operation(service, route);
  }
  return paths;
}

function operation(service: string, route: Route<never>): Record<string, unknown> {
  const status = String(route.status ?? 200);
  const parameters = [...parametersOf('path', route.params), ...parametersOf('query', route.query)];
  return {
    tags: [service],
    operationId: `${route.method.toLowerCase()}_${route.path.replace(/[^a-z0-9]+/gi, '_').replace(/^_|_$/g, '')}`,
    summary: route.summary,
    ...(route.description && { description: route.description }),
    ...(parameters.length > 0 && { parameters }),
    ...(route.body && {
      requestBody: { required: true, content: { 'application/json': { schema: route.body } } },
    }),
    security: route.access === 'public' ? [] : [{ bearer: [] }],
    'x-access': route.access,
    ...(isPermission(route.access) && { 'x-roles': rolesWith(route.access) }),
    responses: {
      [status]:
        status === '204'
          ? { description: 'Done.' }
          : { description: 'Success.', content: { 'application/json': { schema: route.answer } } },
      ...problemResponses(problemsOf(route)),
    },
  };
}

const isPermission = (access: Access): access is Permission => access !== 'public' && access !== 'user';

/** The problems a route can answer with: its own and those of its kind. */
export function problemsOf(route: Pick<Route<never>, 'access' | 'problems' | 'body'>): ProblemCode[] {
  const general: ProblemCode[] = ['invalid_request', 'rate_limited', 'internal', 'database_unavailable'];
  if (route.body) general.push('invalid_json', 'invalid_text', 'payload_too_large', 'unsupported_media_type');
  if (route.access !== 'public') general.push('unauthenticated');
  if (isPermission(route.access)) general.push('forbidden');
  return [...new Set([...route.problems, ...general])];
}

function problemResponses(codes: readonly ProblemCode[]): Record<string, unknown> {
  const byStatus = Map.groupBy(codes, (code) => problems[code].status);
  const entries = [...byStatus].sort(([a], [b]) => a - b);
  return Object.fromEntries(
    entries.map(([status, list]) => [
      String(status),
      {
        description: list.map((code) => `\`${code}\`: ${problems[code].title}.`).join('\n'),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}

function parametersOf(place: 'path' | 'query', schema: TSchema | undefined): unknown[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = schema as {
    properties?: Record<string, TSchema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    schema: property,
  }));
}
