/** One line of the table. */
export interface Figure {
  readonly what: string;
  readonly value: string;
  readonly raw: string;
  /** Our value over the raw limit, where both are rates. */
  readonly ratio: number | undefined;
  readonly bar: string;
  readonly met: boolean;
}

/** `1 234`: digits in groups, no more precision than the machine gives. */
export function rate(perSecond: number): string {
  const rounded = perSecond >= 100 ? Math.round(perSecond) : Math.round(perSecond * 10) / 10;
  return `${String(rounded).replace(/\B(?=(\d{3})+(?!\d))/g, ' ')}/s`;
}

/** `12.3 ms`. */
export function ms(value: number): string {
  return `${value >= 100 ? Math.round(value) : Math.round(value * 10) / 10} ms`;
}

/** A Markdown table, columns padded so that it reads well on a terminal. */
export function table(figures: readonly Figure[]): string {
  const head = ['What', 'Gatehouse', 'Raw limit, same run', 'Ratio', 'Bar', 'Met'];
  const rows = figures.map(({ what, value, raw, ratio, bar, met }) => [
    what,
    value,
    raw,
    ratio === undefined ? '' : ratio.toFixed(2),
    bar,
    met ? 'yes' : 'no',
  ]);
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
