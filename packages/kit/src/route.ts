import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Static, TSchema } from 'typebox';
import type { Permission } from './permission.ts';
import type { Principal } from './principal.ts';
import type { ProblemCode } from './problem.ts';
import type { Trace } from './trace.ts';

/** Who may call a route. There is no default: a route that forgets it does not compile. */
export type Access =
  /** Anybody. */
  | 'public'
  /** Anybody signed in. */
  | 'user'
  /** Whoever holds a role with this permission. */
  | Permission;

/** The client of a request, as the edge sees it. */
export interface Client {
  /** Address after trusted proxies; null when the socket is already gone. */
  readonly ip: string | null;
  readonly userAgent: string | null;
}

/** One request on its way through a route. */
export interface Call<Body = unknown, Query = unknown, Params = unknown, Who = Principal | undefined> {
  readonly body: Body;
  readonly query: Query;
  readonly params: Params;
  readonly principal: Who;
  readonly client: Client;
  readonly trace: Trace;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

type StaticOf<S> = S extends TSchema ? Static<S> : undefined;
type WhoOf<A extends Access> = A extends 'public' ? undefined : Principal;

/** A route as its file declares it. */
export interface RouteSpec<Ctx, A extends Access, B, Q, P, R extends TSchema> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly access: A;
  readonly summary: string;
  /** Why there is more to know, for /docs. */
  readonly description?: string;
  readonly body?: B;
  readonly query?: Q;
  readonly params?: P;
  /** Status of success; 200 unless given. */
  readonly status?: 200 | 201 | 202 | 204;
  /** What success answers with; fields that it does not name never leave. */
  readonly answer: R;
  /** The problems of its own; those of every route (400, 401, 403, 429, 5xx) come by themselves. */
  readonly problems: readonly ProblemCode[];
  readonly bodyBytesMax?: number;
  /**
   * Called when the body is refused before `run` sees it (malformed, wrong types, too large), so that a refused
   * sign-in reaches the audit whatever it looked like.
   */
  readonly refused?: (ctx: Ctx) => (call: Pick<Call, 'client' | 'trace'>, code: ProblemCode) => Promise<void>;
  /** Given the service's context once, answers each call. */
  readonly run: (
    ctx: Ctx,
  ) => (call: Call<StaticOf<B>, StaticOf<Q>, StaticOf<P>, WhoOf<A>>) => Promise<Static<R>>;
}

/** A route of any shape, as the kit mounts it. */
export interface Route<Ctx = never> {
  readonly method: RouteSpec<Ctx, Access, TSchema, TSchema, TSchema, TSchema>['method'];
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly description?: string;
  readonly body?: TSchema;
  readonly query?: TSchema;
  readonly params?: TSchema;
  readonly status?: 200 | 201 | 202 | 204;
  readonly answer: TSchema;
  readonly problems: readonly ProblemCode[];
  readonly bodyBytesMax?: number;
  readonly refused?: (ctx: Ctx) => (call: Pick<Call, 'client' | 'trace'>, code: ProblemCode) => Promise<void>;
  readonly run: (ctx: Ctx) => (call: never) => Promise<unknown>;
}

/**
 * The route maker of one service: `const route = routesOf<TokenContext>()`, then each use case says
 * `export const rotate = route({...})`.
 */
export function routesOf<Ctx>() {
  return <
    A extends Access,
    R extends TSchema,
    B extends TSchema | undefined = undefined,
    Q extends TSchema | undefined = undefined,
    P extends TSchema | undefined = undefined,
  >(
    spec: RouteSpec<Ctx, A, B, Q, P, R>,
  ): Route<Ctx> => {
    // A field that nobody reads is a mistake, or somebody trying one: it is refused, not dropped.
    if (spec.body !== undefined) Object.assign(spec.body, { additionalProperties: false });
    return spec as unknown as Route<Ctx>;
  };
}
