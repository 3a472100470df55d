import type { Progress } from '@gatehouse/backup';
import type { OutputOptions } from '../output.ts';

const EVERY_MS = 200;

/** One line on standard error that grows; only on a terminal, and never beside JSON. */
export interface ProgressLine {
  readonly onProgress: (progress: Progress) => void;
  /** Clears it. */
  end(): void;
}

/** @param doing What is being done, e.g. `backing up` */
export function progressLine(doing: string, { json, quiet }: OutputOptions): ProgressLine {
  if (!process.stderr.isTTY || json || quiet) return { onProgress: () => {}, end: () => {} };
  const begun = performance.now();
  let shown = 0;
  return {
    onProgress({ table, rows, bytes }) {
      const now = performance.now();
      if (now - shown < EVERY_MS) return;
      shown = now;
      const speed = megabytes(bytes / ((now - begun) / 1000));
      const line = `${doing} ${table}: ${rows.toLocaleString('en')} rows, ${megabytes(bytes)}, ${speed}/s`;
      process.stderr.write(`\r\u001b[K${line.slice(0, process.stderr.columns - 1)}`);
    },
    end() {
      if (shown > 0) process.stderr.write('\r\u001b[K');
    },
  };
}

/** Bytes for people. */
export const megabytes = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
