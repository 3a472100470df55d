import type pg from 'pg';

/** The query function of a connection, in any of its ways: with a promise or a callback, a text or an object. */
type Query = (...parameters: unknown[]) => unknown;
type Callback = (error: Error | undefined, ...rest: unknown[]) => void;

interface Named {
  readonly name: string;
  readonly text: string;
}

/** Puts a function in the place of a connection's `query`. */
export const wrapQuery = (client: pg.PoolClient, wrap: (query: Query) => Query): void => {
  const value = wrap(client.query.bind(client) as Query);
  Object.defineProperty(client, 'query', { value, configurable: true, writable: true });
};

/** Statements go without their names: parsed and planned each time, and nothing is left on the connection. */
export const dropNames = (client: pg.PoolClient): void =>
  wrapQuery(
    client,
    (query) =>
      (first, ...rest) =>
        isNamed(first) ? query({ ...first, name: undefined }, ...rest) : query(first, ...rest),
  );

/**
 * A migration may change the type of what a named statement returns; Postgres then refuses to run it under that name
 * ("cached plan must not change result type"), before it has done anything. A pooler keeps such statements by their
 * text and would refuse for ever, whichever client asks. So the statement goes on under a new name with another text.
 * A transaction is lost by the refusal: there the next attempt does (to say the new name within the lost one would
 * burn it: PgBouncer keeps names that Postgres never saw).
 */
export const renewNames = (): ((client: pg.PoolClient) => void) => {
  const generations = new Map<string, number>();
  const generationOf = (name: string) => generations.get(name) ?? 0;
  return (client) =>
    wrapQuery(client, (query) => (first, ...rest) => {
      if (!isNamed(first)) return query(first, ...rest);
      const used = generationOf(first.name);
      const renew = (error: unknown): boolean => {
        if (!isStale(error)) return false;
        if (generationOf(first.name) === used) generations.set(first.name, used + 1);
        return (client as pg.PoolClient & pg.Client).getTransactionStatus() === 'I';
      };
      const again = (...parameters: unknown[]) =>
        query(inGeneration(first, generationOf(first.name)), ...parameters);
      return onceMore((...parameters) => query(inGeneration(first, used), ...parameters), {
        rest,
        renew,
        again,
      });
    });
};

interface Retry {
  readonly rest: readonly unknown[];
  /** Whether the error is one that another name mends here and now. */
  readonly renew: (error: unknown) => boolean;
  readonly again: Query;
}

const onceMore = (query: Query, { rest, renew, again }: Retry): unknown => {
  const callback = rest.at(-1);
  if (typeof callback === 'function') {
    const values = rest.slice(0, -1);
    const done = callback as Callback;
    const first: Callback = (error, ...results) => {
      if (error === undefined || error === null || !renew(error)) done(error, ...results);
      else again(...values, done);
    };
    return query(...values, first);
  }
  const answer = query(...rest);
  if (!(answer instanceof Promise)) return answer;
  return answer.catch((error: unknown) => {
    if (!renew(error)) throw error;
    return again(...rest);
  });
};

const inGeneration = <T extends Named>(statement: T, generation: number): T =>
  generation === 0
    ? statement
    : {
        ...statement,
        name: `${statement.name}.${generation}`,
        text: `${statement.text}\n-- ${generation}`,
      };

const isNamed = (value: unknown): value is Named =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as Named).name === 'string' &&
  typeof (value as Named).text === 'string';

const FEATURE_NOT_SUPPORTED = '0A000';

const isStale = (error: unknown): boolean =>
  error instanceof Error &&
  (error as { code?: unknown }).code === FEATURE_NOT_SUPPORTED &&
  error.message === 'cached plan must not change result type';
