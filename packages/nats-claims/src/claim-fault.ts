/** One thing that a server would not take, or would take and act upon otherwise than whoever wrote it expects. */
export interface ClaimFault {
  /** Where, as in `exports[2].subject`; the syntax of {@link ClaimChange}. */
  readonly path: string;
  /** What is wrong, as a sentence for a person. */
  readonly message: string;
}

/** Nothing is gained by the five-thousandth fault of one JWT, and a list without end is a weapon. */
export const FAULTS_MAX = 100;

/** Gathers faults; further ones than {@link FAULTS_MAX} are not kept. */
export class Faults {
  readonly list: ClaimFault[] = [];

  add(path: string, message: string): void {
    if (this.list.length < FAULTS_MAX) this.list.push({ path, message });
  }

  get full(): boolean {
    return this.list.length >= FAULTS_MAX;
  }
}

/** The path of a member: `a.b`, `a[2]`, or `a["b c"]` for names that are no identifiers. */
export function memberPath(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`;
  if (!/^[A-Za-z_]\w*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}

/** A text of a caller as a sentence may show it: short, on one line, unmistakable. */
export function shown(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 79)}…` : text;
  return JSON.stringify(short.toWellFormed());
}
