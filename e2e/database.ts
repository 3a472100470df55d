import pg from 'pg';

/** A statement and its values. */
export type Statement = readonly [text: string, values?: readonly unknown[]];

/** A connection of its own for a moment: whoever asks may have stopped Postgres since the last one. */
async function connected<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url, application_name: 'specs' });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The rows of one statement, as whom the address says: mostly the owner, whom no grant holds back. */
export function ask<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  return connected(url, async (client) => (await client.query<Row>(text, [...values])).rows);
}

/** Several statements that all see the database as it is at one moment, whatever is written beside them. */
export function atOneMoment(url: string, statements: readonly Statement[]): Promise<void> {
  return connected(url, async (client) => {
    await client.query('begin isolation level repeatable read');
    for (const [text, values = []] of statements) await client.query(text, [...values]);
    await client.query('commit');
  });
}
