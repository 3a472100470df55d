import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { cutOf } from './export-file.ts';
import { progressLine } from './progress.ts';

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-export-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cut = async (text: string, format: string) => {
  const path = join(folder, 'x');
  writeFileSync(`${path}.partial`, text);
  const { bytes, after, lines } = await cutOf(path, format);
  return { kept: text.slice(0, bytes), after, lines };
};

it('an export is gone on with after the last record that arrived whole, wherever it was cut', async () => {
  const [one, two] = [
    '{"chain":"a","sequence":1,"hash":"x"}',
    '{"chain":"b","sequence":2,"until":7,"omitted":""}',
  ];
  const head = '{"gatehouse_export":1}\n';
  const text = `${head}${one}\n${two}\n`;
  for (let length = 0; length <= text.length; length += 1) {
    const { kept, after } = await cut(text.slice(0, length), 'ndjson');
    const expected =
      length === text.length
        ? [text, 'b:7']
        : length > head.length + one.length
          ? [`${head}${one}\n`, 'a:1']
          : ['', undefined];
    expect([kept, after]).toEqual(expected);
  }
});

it('a document loses the comma after its last whole record, a table keeps its lines', async () => {
  const begun = '{"export":{},"checkpoint":null,"log":[],"events":[\n{"chain":"a","sequence":1,"hash":"x"}';
  expect(await cut(`${begun},\n{"chain":"a","seq`, 'json')).toEqual({ kept: begun, after: 'a:1', lines: 1 });
  const table = 'chain,sequence,id\r\na,1,x\r\n';
  expect(await cut(`${table}a,2`, 'csv')).toEqual({ kept: table, after: 'a:1', lines: 2 });
  expect(await cut('chain,sequence,id\r\n', 'csv')).toMatchObject({ after: undefined });
  const ocsf = '{"class_uid":3002,"unmapped":{"chain":"a","sequence":9}}\n';
  expect(await cut(`${ocsf}{"cl`, 'ocsf')).toEqual({ kept: ocsf, after: 'a:9', lines: 1 });
});

it('a record longer than a piece of the file is found', async () => {
  const long = `{"chain":"a","sequence":1,"hash":"${'x'.repeat(3 * 1024 * 1024)}"}\n`;
  expect(
    (await cut(`${long}{"chain":"a","sequence":2,"fill":"${'y'.repeat(2 * 1024 * 1024)}`, 'ndjson')).after,
  ).toBe('a:1');
});

it('the progress says how far, where that is known', () => {
  expect(progressLine(1_234_567, undefined, 50_000)).toBe('1 234 567 records, 50 000/s');
  expect(progressLine(500, 1000, 10)).toContain('50%');
  expect(progressLine(2000, 1000, 10)).toContain('100%');
});
