/** Shows on a terminal how far an export is. */
export interface Progress {
  /** Records that came. */
  add(records: number): void;
  /** Takes the line away. */
  end(): void;
}

const EVERY_MS = 200;
const BAR = 24;
const silent: Progress = { add: () => undefined, end: () => undefined };

/** A progress bar on standard error; nothing without a terminal, or when quiet. `total`: 100 per cent, if it is known. */
export function progressOf(quiet: boolean, total: number | undefined, begun = 0): Progress {
  const { stderr } = process;
  if (quiet || !stderr.isTTY) return silent;
  const startedAt = performance.now();
  let records = begun;
  let shownAt = Number.NEGATIVE_INFINITY;
  const draw = () => {
    const rate = (records - begun) / Math.max(0.001, (performance.now() - startedAt) / 1000);
    stderr.write(`\r\u001b[K${progressLine(records, total, rate)}`);
  };
  return {
    add(more) {
      records += more;
      if (performance.now() - shownAt < EVERY_MS) return;
      shownAt = performance.now();
      draw();
    },
    end: () => void stderr.write('\r\u001b[K'),
  };
}

/** What the line says. */
export function progressLine(records: number, total: number | undefined, perSecond: number): string {
  const said = `${grouped(records)} records, ${grouped(Math.round(perSecond))}/s`;
  if (total === undefined || total === 0) return said;
  const share = Math.min(1, records / total);
  const full = Math.round(share * BAR);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}] ${Math.floor(share * 100)}%  ${said}`;
}

const grouped = (value: number) => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ' ');
