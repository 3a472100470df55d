import { catalogue, eventSubjects } from '@gatehouse/events';
import { baseSettings, type ProblemCode, problems, problemsOf, type Settings } from '@gatehouse/kit';
import { describe, expect, it } from 'vitest';
import { declaredSettings } from './document-config.ts';
import { declaredMetrics } from './document-metrics.ts';
import { routesOfServices, services } from './platform.ts';
import { productionSources, type Source } from './sources.ts';

const all = productionSources();
const without = (...endings: string[]): Source[] =>
  all.filter(({ path }) => !endings.some((ending) => path.endsWith(ending)));

const usedIn = (sources: readonly Source[], pattern: RegExp): boolean =>
  sources.some(({ text }) => pattern.test(text));

const notTheTable = ({ path }: Source): boolean => !/kit\/src\/(?:problem|openapi)\.ts$/.test(path);

/** A list of what a route may answer with answers nothing. */
const withoutLists = ({ path, text }: Source): Source => ({
  path,
  text: text.replace(/\bproblems:\s*\[[^\]]*\]/g, ''),
});

/** Problems that a source makes by name. */
const thrownIn = ({ text }: Source): ProblemCode[] =>
  [...text.matchAll(/(?:new Problem|retryLater)\(\s*'([a-z_]+)'/g)].map((match) => match[1] as ProblemCode);

describe('what is declared is used, and what is used is declared', () => {
  it('every problem is answered by some code', () => {
    const sources = all.filter(notTheTable).map(withoutLists);
    const unused = Object.keys(problems).filter((name) => !usedIn(sources, new RegExp(`['"]${name}['"]`)));
    expect(unused).toEqual([]);
  });

  it('every problem that a service throws is one that it declares', () => {
    const wrong = services.flatMap(({ name, routes }) => {
      const declared = new Set<ProblemCode>([
        ...problemsOf({ access: 'platform.manage', problems: [], body: {} as never }),
        ...routes.flatMap((route) => route.problems),
        ...(name === 'gateway' ? edgeProblems : []),
      ]);
      return all
        .filter(({ path }) => path.startsWith(`services/${name}/`))
        .flatMap((source) => thrownIn(source).map((thrown) => ({ path: source.path, thrown })))
        .filter(({ thrown }) => !declared.has(thrown))
        .map(({ path, thrown }) => `${path}: ${thrown}`);
    });
    expect(wrong).toEqual([]);
  });

  it('every problem that a route declares is made in its service or in the kit', () => {
    const wrong = routesOfServices().flatMap(({ service, route }) => {
      const near = all.filter(
        ({ path }) => path.startsWith(`services/${service}/`) || path.startsWith('packages/kit/'),
      );
      return route.problems
        .filter((name) => !usedIn(near.filter(notTheTable).map(withoutLists), new RegExp(`'${name}'`)))
        .map((name) => `${route.method} ${route.path}: ${name}`);
    });
    expect(wrong).toEqual([]);
  });

  it('every metric is set somewhere', () => {
    const sources = without('kit/src/metrics.ts');
    const unset = declaredMetrics()
      .filter(
        ({ property }) =>
          !usedIn(sources, new RegExp(`\\b${property}\\??\\s*\\.\\s*(?:inc|dec|set|observe|startTimer)\\(`)),
      )
      .map(({ name }) => name);
    expect(unset).toEqual([]);
  });

  it('no metric is made outside the one table', () => {
    const wrong = without('kit/src/metrics.ts').filter(({ text }) =>
      /new (?:Counter|Gauge|Histogram|Summary)\b/.test(text),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  it('every kind of event is appended somewhere', () => {
    const sources = all.filter(({ path }) => !path.startsWith('packages/events/'));
    const silent = catalogue
      .map(({ type }) => type)
      .filter((type) => !usedIn(sources, new RegExp(`['"\`]${type.replaceAll('.', '\\.')}['"\`]`)));
    expect(silent).toEqual([]);
  });

  it('every kind of event has a subject that the stream takes', () => {
    const prefixes = eventSubjects.map((subject) => subject.replace(/>$/, ''));
    expect(catalogue.filter(({ type }) => !prefixes.some((prefix) => type.startsWith(prefix)))).toEqual([]);
  });

  it('every setting is read somewhere', () => {
    const names = [...Object.keys(baseSettings), ...declaredSettings().map(({ name }) => name)];
    const read = (name: string) =>
      usedIn(all, new RegExp(`\\.${name}\\b|[{,]\\s*${name}\\b(?!: setting)`)) || isRateLimit(name);
    expect(names.filter((name) => !read(name))).toEqual([]);
  });

  it('a setting that two services declare means the same in both', () => {
    const declared = [baseSettings, ...services.map(({ settings }) => settings)].flatMap((one) =>
      Object.entries(one),
    );
    const means = ({ kind, shown, secret, requiredIn, doc }: Settings[string]) =>
      JSON.stringify({ kind, shown, secret, requiredIn, doc });
    const wrong = declared.filter(([name, one]) =>
      declared.some(([other, two]) => other === name && means(one) !== means(two)),
    );
    expect([...new Set(wrong.map(([name]) => name))]).toEqual([]);
  });
});

/** Problems that the edge answers with before any route: the gateway declares no routes for them. */
const edgeProblems: readonly ProblemCode[] = [
  'not_found',
  'method_not_allowed',
  'upstream_timeout',
  'upstream_unavailable',
  'starting',
];

/** services/gateway/src/limits.ts puts these names together from the scope. */
const isRateLimit = (name: string): boolean => /^RATE_LIMIT_[A-Z_]+_(?:MAX|WINDOW_SECONDS)$/.test(name);
