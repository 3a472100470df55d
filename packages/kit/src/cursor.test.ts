import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { readCursor, signCursor } from './cursor.ts';

const key = randomBytes(32);
const position = ['2026-01-02T03:04:05.678901Z', '0198c0de-0000-7000-8000-000000000001'];
const bindTo = {
  list: 'audit.events',
  tenantId: 'tenant-1',
  filters: { type: 'auth.login', from: undefined },
};
const cursor = signCursor(key, position, bindTo);

it('reads back the position it was signed with, for the same list, whatever the order of the filters', () => {
  expect(readCursor(key, cursor, bindTo)).toEqual(position);
  expect(readCursor(key, cursor, { ...bindTo, filters: { type: 'auth.login' } })).toEqual(position);
  const two = { list: 'l', filters: { b: 1, a: ['x', 'y'] } };
  const swapped = { list: 'l', filters: { a: ['x', 'y'], b: 1 } };
  expect(readCursor(key, signCursor(key, [1, true, null], two), swapped)).toEqual([1, true, null]);
});

it.each([
  ['another list', { ...bindTo, list: 'audit.logins' }],
  ['another tenant', { ...bindTo, tenantId: 'tenant-2' }],
  ['no tenant', { ...bindTo, tenantId: undefined }],
  ['another filter', { ...bindTo, filters: { type: 'auth.logout' } }],
  ['a filter more', { ...bindTo, filters: { type: 'auth.login', user: 'u' } }],
  ['a filter less', { ...bindTo, filters: {} }],
])('is not a cursor for %s', (_, other) => {
  expect(readCursor(key, cursor, other)).toBeUndefined();
});

it('is not a cursor with any one character changed, added or cut, nor under another key', () => {
  for (let at = 0; at < cursor.length; at += 1) {
    const changed = `${cursor.slice(0, at)}${cursor[at] === 'A' ? 'B' : 'A'}${cursor.slice(at + 1)}`;
    expect(readCursor(key, changed, bindTo), changed).toBeUndefined();
  }
  const [payload = '', mac = ''] = cursor.split('.');
  const forgeries = [
    '',
    '.',
    cursor.slice(1),
    cursor.slice(0, -1),
    `${cursor}=`,
    `${cursor} `,
    `${payload}=.${mac}`,
  ];
  for (const text of [
    ...forgeries,
    payload,
    `.${mac}`,
    `${payload}.`,
    '\0',
    'x'.repeat(1_000_000),
    '{"a":1}.x',
  ]) {
    expect(readCursor(key, text, bindTo), text.slice(0, 80)).toBeUndefined();
  }
  expect(readCursor(randomBytes(32), cursor, bindTo)).toBeUndefined();
});
