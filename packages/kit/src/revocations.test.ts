import { expect, test } from 'vitest';
import { Revocations, readEntry } from './revocations.ts';

const NOW = 1_800_000_000;

test('a session stays revoked until its tokens have expired and a minute longer, then it is forgotten', () => {
  const revocations = new Revocations();
  revocations.take({ sids: ['a', 'b'], until: NOW + 900 }, NOW);
  revocations.expire(NOW + 959);
  expect(revocations.revoked('a')).toBe(true);
  revocations.expire(NOW + 1100);
  expect(revocations.revoked('a')).toBe(false);
  expect(revocations.size).toBe(0);
});

test('a later entry prolongs, an earlier one never shortens', () => {
  const revocations = new Revocations();
  revocations.take({ sids: ['a'], until: NOW + 900 }, NOW);
  revocations.take({ sids: ['a'], until: NOW + 100 }, NOW);
  revocations.take({ sids: ['a'], until: NOW + 1800 }, NOW);
  revocations.expire(NOW + 1700);
  expect(revocations.revoked('a')).toBe(true);
  revocations.expire(NOW + 2000);
  expect(revocations.size).toBe(0);
});

test('the highest version of the roles counts, in whatever order the changes come, and stays long enough for both', () => {
  const revocations = new Revocations();
  revocations.take({ user_id: 'u', roles: ['USER'], version: 3, until: NOW + 500 }, NOW);
  revocations.take({ user_id: 'u', roles: ['ADMIN', 'USER'], version: 2, until: NOW + 900 }, NOW);
  expect(revocations.rolesOf('u')).toEqual(['USER']);
  revocations.expire(NOW + 800);
  expect(revocations.rolesOf('u')).toEqual(['USER']);
  revocations.take({ user_id: 'u', roles: ['ADMIN', 'USER'], version: 4, until: NOW + 600 }, NOW);
  expect(revocations.rolesOf('u')).toEqual(['ADMIN', 'USER']);
  revocations.expire(NOW + 1100);
  expect(revocations.size).toBe(0);
});

test('what has expired already is not kept', () => {
  const revocations = new Revocations();
  revocations.take({ sids: ['a'], until: NOW - 61 }, NOW);
  expect(revocations.size).toBe(0);
});

test('names that objects inherit are no sessions and no users', () => {
  const revocations = new Revocations();
  for (const name of ['__proto__', 'constructor', 'toString']) {
    expect(revocations.revoked(name)).toBe(false);
    expect(revocations.rolesOf(name)).toBeUndefined();
  }
});

test('an entry of a form that this version does not know is not taken for one it knows', () => {
  const until = NOW;
  for (const value of [
    undefined,
    null,
    'x',
    {},
    { until },
    { sids: [], until },
    { sids: [1], until },
    { sids: ['a'], until: 'soon' },
    { sids: ['a'], until: 1.5 },
    { user_id: 'u', roles: ['USER'], until },
    { user_id: 'u', roles: 'ADMIN', version: 1, until },
    { tenant_id: 't', until },
  ])
    expect(readEntry(value)).toBeUndefined();
  expect(readEntry({ sids: ['a'], until })).toEqual({ sids: ['a'], until });
});
