import { expect, it } from 'vitest';
import { optionalOrigins, readConfig } from './config.ts';

const settings = { TOKEN_URL: optionalOrigins({ doc: 'Where it listens.' }) };
const read = (text: string) => readConfig(settings, { TOKEN_URL: text }).TOKEN_URL;

it('the instances of a service are origins, one or several', () => {
  expect(read('')).toBeUndefined();
  expect(read('http://token:8080')).toEqual(['http://token:8080']);
  expect(read('http://token-1:8080/, https://token-2')).toEqual(['http://token-1:8080', 'https://token-2']);
});

it('what is no origin, or is named twice, is refused without being repeated', () => {
  const faults = [
    ['token:8080', 'must be a URL that starts with'],
    ['http://a:1,', 'must be a URL that starts with'],
    ['http://a:1/api', 'without anything behind'],
    ['http://user:hunter2@a:1', 'without anything behind'],
    ['http://a:1,http://a:1/', 'names an address twice'],
    [Array.from({ length: 65 }, (_, at) => `http://a:${at + 1}`).join(','), 'at most 64 addresses'],
  ] as const;
  for (const [text, fault] of faults) {
    expect(() => read(text), text).toThrow(fault);
    expect(() => read(text), text).not.toThrow(text);
  }
});
