import {
  type HistogramName,
  histogram,
  type LabelOf,
  type Match,
  type Series,
  series,
  type Vector,
} from './series.ts';

/** How far back a rate looks: enough for four scrapes, and for no point to be left out (Grafana reckons it). */
const RATE_WINDOW = '$__rate_interval';

/** The range that is chosen above the dashboard. */
export const WHOLE_RANGE = '$__range';

/** Increments a second. */
export const rate = <L extends string>(of: Series<L>, window = RATE_WINDOW): Vector<L> => ({
  text: `rate(${of.text}[${window}])`,
});

/** Increments in a window. */
export const increase = <L extends string>(of: Series<L>, window = WHOLE_RANGE): Vector<L> => ({
  text: `increase(${of.text}[${window}])`,
});

type Aggregation = 'sum' | 'max' | 'min' | 'avg' | 'count';

const aggregate =
  (how: Aggregation) =>
  <L extends string, B extends NoInfer<L> = never>(of: Vector<L>, ...by: readonly B[]): Vector<B> => ({
    text: `${how}${by.length === 0 ? '' : ` by (${by.join(', ')})`} (${of.text})`,
  });

/** Of what is counted in each process apart: together. */
export const sum = aggregate('sum');
/** Of what every instance reads from the database alike, a sum would count each instance anew. */
export const max = aggregate('max');
export const min = aggregate('min');
export const count = aggregate('count');

/** How often the value changed in the range that is shown. */
export const changes = <L extends string>(of: Series<L>): Vector<L> => ({
  text: `changes(${of.text}[${WHOLE_RANGE}])`,
});

/** A quantile of a histogram over the instances. */
export const quantile = <N extends HistogramName, B extends LabelOf<N> = never>(
  q: number,
  about: {
    readonly of: N;
    readonly where?: Partial<Record<LabelOf<N>, Match>>;
    readonly by?: readonly B[];
    readonly window?: string;
  },
): Vector<B> => {
  const buckets = rate(histogram(about.of, 'bucket', about.where), about.window);
  const labels = ['le', ...(about.by ?? [])].join(', ');
  return { text: `histogram_quantile(${q}, sum by (${labels}) (${buckets.text}))` };
};

/** Zero where there is nothing: for what is counted from its first time on. */
export const orZero = (of: Vector<never>): Vector<never> => ({ text: `${of.text} or vector(0)` });

/** Which part of the whole it is, 0 to 1; nothing while the whole is nothing. */
export const share = <L extends string>(part: Vector<L>, whole: Vector<L>): Vector<L> => ({
  text: `(${part.text} or 0 * ${whole.text}) / (${whole.text} > 0)`,
});

/** Two vectors of the same labels, calculated. */
export const calculate = <L extends string>(
  left: Vector<L>,
  operator: '+' | '-' | '/' | '*',
  right: Vector<L> | number,
): Vector<L> => ({
  text: `${left.text} ${operator} ${typeof right === 'number' ? right : right.text}`,
});

/** Those that compare so; with `bool`, 1 or 0 for each. */
export const compare = <L extends string>(
  left: Vector<L>,
  operator: '==' | '== bool' | '<' | '>' | '> bool',
  right: Vector<L> | number,
): Vector<L> => ({
  text: `${left.text} ${operator} ${typeof right === 'number' ? right : right.text}`,
});

/** The largest `n`. */
export const top = <L extends string>(n: number, of: Vector<L>): Vector<L> => ({
  text: `topk(${n}, ${of.text})`,
});

/** Seconds from a time of the Unix clock until now. */
export const since = <L extends string>(of: Vector<L>): Vector<L> => ({ text: `time() - ${of.text}` });

/** Seconds from now until a time of the Unix clock. */
export const until = <L extends string>(of: Vector<L>): Vector<L> => ({ text: `${of.text} - time()` });

/** As it was so long before. */
export const ago = <L extends string>(of: Series<L>, how: string): Series<L> => ({
  selector: true,
  text: `${of.text} offset ${how}`,
});

/** The first without those that are in the second too. */
export const without = <L extends string>(of: Vector<L>, others: Vector<L>): Vector<L> => ({
  text: `${of.text} unless ${others.text}`,
});

/** What is known of an instance, for each service that runs in it, with its release. */
export const withRelease = (of: Vector<'instance'>): Vector<'instance' | 'service' | 'version'> => ({
  text: `${of.text} * on (instance) group_right () ${
    max(series('gatehouse_build_info'), 'instance', 'service', 'version').text
  }`,
});
