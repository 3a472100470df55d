import { expect, test } from 'vitest';
import { previewTemplate } from './index.ts';

const about = {
  user: { name: 'ann', publicKey: 'UX', tags: ['region:eu', 'region:us', 'team:core', 'plain'] },
  account: { name: 'shop', publicKey: 'AX', tags: ['dept:sales'] },
};
const allowOf = (...allow: string[]) => previewTemplate({ pub: { allow } }, about).pub.allow;

test.each<[string, string[]]>([
  ['a.{{name()}}', ['a.ann']],
  ['{{subject()}}.{{account-name()}}.{{account-subject()}}', ['UX.shop.AX']],
  ['{{NAME()}}', ['ann']],
  ['x.{{tag(team)}}', ['x.core']],
  ['x.{{account-tag(dept)}}', ['x.sales']],
  ['{{tag(region)}}.{{tag(team)}}.>', ['eu.core.>', 'us.core.>']],
  ['{{tag(region)}}.{{tag(region)}}', ['eu.eu', 'us.us']],
  ['a-{{ name() }}.x', ['a-ann.x']],
  ['{{tag(REGION)}}', ['eu', 'us']],
  ['plain.*', ['plain.*']],
])('%s becomes %j', (entry, expected) => {
  expect(allowOf(entry)).toEqual(expected);
});

test('an allow entry whose tag is missing is dropped, and everything denied when none is left', () => {
  const some = previewTemplate({ pub: { allow: ['a', '{{tag(none)}}.b'] } }, about);
  expect(some.pub).toEqual({ allow: ['a'], deny: [] });
  expect(some.dropped).toEqual(['pub.allow[1]']);
  const none = previewTemplate({ sub: { allow: ['{{tag(none)}}.b'], deny: ['x'] } }, about);
  expect(none.sub).toEqual({ allow: [], deny: ['x', '>'] });
  expect(none.refused).toBeUndefined();
});

test('a deny entry whose tag is missing refuses the user', () => {
  const { refused } = previewTemplate({ pub: { deny: ['{{tag(none)}}'] } }, about);
  expect(refused).toContain('pub.deny[0]');
});

test('a name that is no token of a subject comes to nothing', () => {
  const named = { ...about, user: { ...about.user, name: 'ann b' } };
  expect(previewTemplate({ pub: { allow: ['{{name()}}'] } }, named).pub).toEqual({ allow: [], deny: ['>'] });
});

test('an unknown function refuses the user', () => {
  expect(previewTemplate({ pub: { allow: ['{{user()}}', 'a'] } }, about).refused).toContain('pub.allow[0]');
});

test('a value is filled in as it is, never read as a pattern of a replacement', () => {
  const named = { ...about, user: { ...about.user, name: "$&$'$1" } };
  expect(previewTemplate({ pub: { allow: ['a.{{name()}}'] } }, named).pub.allow).toEqual(["a.$&$'$1"]);
});

test('a wildcard that a name or a tag brings in is told', () => {
  const star = { ...about, user: { ...about.user, name: '*', tags: ['t:>', 't:a'] } };
  const preview = previewTemplate(
    { pub: { allow: ['a.*', 'b.{{name()}}.c', 'd.{{tag(t)}}', 'e.{{subject()}}'] } },
    star,
  );
  expect(preview.pub.allow).toEqual(['a.*', 'b.*.c', 'd.>', 'd.a', 'e.UX']);
  expect(preview.widened).toEqual(['pub.allow[1]', 'pub.allow[2]']);
});

test('no permissions at all stay none', () => {
  expect(previewTemplate({}, about)).toEqual({
    sub: { allow: [], deny: [] },
    pub: { allow: [], deny: [] },
    dropped: [],
    widened: [],
  });
});

test('more combinations than a server takes are not made', () => {
  const tags = Array.from({ length: 128 }, (_, index) => `k:${index}`);
  const many = { ...about, user: { ...about.user, tags } };
  const preview = previewTemplate({ pub: { allow: ['{{tag(k)}}.{{tag(K)}}.{{Tag(k)}}.{{TAG(k)}}'] } }, many);
  expect(preview.refused).toContain('pub.allow[0]');
});
