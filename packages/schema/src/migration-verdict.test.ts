import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { migrateUp, withClient, withDatabase } from './migrate.ts';
import type { Finding } from './migration-rule.ts';
import { knownMigrations, newestMigration } from './migration-status.ts';
import { objectionsTo } from './migration-verdict.ts';
import { planByRunning } from './plan.ts';
import { fillWithSampleRows } from './sample-rows.ts';
import { createTestDatabase } from './test-database.ts';

const root = join(import.meta.dirname, '../../..');
const releases: { commit: string; newest: string }[] = JSON.parse(
  readFileSync(join(import.meta.dirname, '../upgrade/released.json'), 'utf8'),
);
const released = releases.map(({ newest }) => newest);
const last = releases.at(-1);
/** Those that no landed release knows. */
const unreleased = knownMigrations.filter((name) => name > (last?.newest ?? ''));

/** What a migration does on a database with rows in every table. */
const seenOf = async (name: string): Promise<Finding[]> => {
  const database = await createTestDatabase();
  try {
    await migrateUp(database.url, { to: knownMigrations[knownMigrations.indexOf(name) - 1] ?? '' });
    const findings: Finding[] = [];
    await withDatabase(database.url, (_db, pool) =>
      withClient(pool, async (client) => {
        await client.query('begin');
        await fillWithSampleRows(client, 0);
        await client.query('commit');
        for (const planned of await planByRunning(
          client,
          { names: [name], direction: 'up' },
          { apart: true },
        ))
          findings.push(...planned.findings, ...planned.statements.flatMap((one) => one.findings));
      }),
    );
    return findings;
  } finally {
    await database.drop();
  }
};

it.each(unreleased)(
  '%s stops no traffic and breaks no release that still runs, or says why it may',
  async (name) => {
    const text = migrations[name] ?? { up: '', down: '' };
    expect(objectionsTo(text, await seenOf(name), released)).toEqual([]);
  },
);

describe('a migration may not land', () => {
  const text = { up: 'select 1', down: 'select 1' };
  const found: Finding = { rule: 'column-gone', on: 'a.b.c', sentence: 'c is gone', remedy: 'leave it' };
  const built: Finding = { rule: 'scans-under-lock', on: 'a.b', sentence: 'b is read', remedy: 'do not' };
  const why = 'two rows at most, and nobody writes';

  it('with what it does not declare', () => {
    expect(objectionsTo(text, [found], ['0010-a'])).toEqual([
      `c is gone: leave it. If it must be: allows = [{ rule: 'column-gone', on: 'a.b.c', why: '…', unusedSince: '…' }]`,
    ]);
    expect(
      objectionsTo({ ...text, allows: [{ rule: 'scans-under-lock', on: 'a.b', why }] }, [built], []),
    ).toEqual([]);
  });

  it('with a declaration of what it does not do, or that says nothing', () => {
    expect(objectionsTo({ ...text, allows: [{ rule: 'rewrites', on: 'a.b', why: 'fine' }] }, [], [])).toEqual(
      [
        '"allows" names rewrites on a.b, which it does not do: take that out',
        '"allows" says too little about why rewrites on a.b is right',
      ],
    );
  });

  it('taking away what the last landed release uses', () => {
    const allows = (unusedSince: string) => [{ rule: 'column-gone', on: 'a.b.c', why, unusedSince }] as const;
    expect(objectionsTo({ ...text, allows: allows('0011-next') }, [found], ['0010-a'])[0]).toContain(
      'a.b.c may go when a landed release does without it',
    );
    expect(objectionsTo({ ...text, allows: allows('0010-a') }, [found], ['0010-a'])).toEqual([]);
  });

  it('with what runs in no transaction among what does, or what cannot be begun again', () => {
    const index = 'create index concurrently a on b.c (d)';
    expect(objectionsTo({ ...text, up: index }, [], [])[0]).toContain('export const online = true');
    expect(objectionsTo({ up: index, down: '', online: true }, [], [])[0]).toContain('if (not) exists');
    const again = 'create index concurrently if not exists a on b.c (d)';
    expect(
      objectionsTo({ up: again, down: 'drop index concurrently if exists b.a', online: true }, [], []),
    ).toEqual([]);
  });
});

describe('the record of landed releases', () => {
  const UNRELEASED_MAX = 8;

  it('is near enough to what is here that upgrades from it are upgrades that people make', () => {
    expect(
      unreleased.length,
      `${unreleased.length} migrations are newer than the last landed release on record (${last?.newest}): add the landed commit to packages/schema/upgrade/released.json, as CONTRIBUTING.md says`,
    ).toBeLessThanOrEqual(UNRELEASED_MAX);
    expect(released).toEqual(released.toSorted());
    expect(knownMigrations).toEqual(expect.arrayContaining(released));
    expect((last?.newest ?? '') <= newestMigration).toBe(true);
  });

  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  const reason = !existsSync(join(root, '.git'))
    ? 'this is no git checkout'
    : git('rev-parse', '--is-shallow-repository').trim() === 'true'
      ? 'this clone is shallow: git fetch --unshallow'
      : undefined;
  const told = reason === undefined ? '' : ` (skipped: ${reason})`;

  it.skipIf(reason !== undefined).each(releases)(
    `names commits of this history, with the newest migration of each: $newest${told}`,
    ({ commit, newest }) => {
      git('merge-base', '--is-ancestor', commit, 'HEAD');
      const there = git('ls-tree', '--name-only', commit, 'packages/schema/migrations/');
      const names = [...there.matchAll(/(\d{4}-[a-z0-9-]+)\.ts$/gm)].map(([, name]) => name);
      expect(names.sort().at(-1)).toBe(newest);
    },
  );
});
