import { tokensOf } from './subject.ts';

interface Branch {
  readonly next: Map<string, Branch>;
  /** Places, in the order of adding, of the subjects that end here. */
  readonly ends: number[];
}

const branch = (): Branch => ({ next: new Map(), ends: [] });

/** A place at the end of a branch that is not this one. */
const otherOf = (at: Branch | undefined, place: number): number | undefined =>
  at?.ends.find((end) => end !== place);

/**
 * Subjects with wildcards, and the question which of them covers one. A tree of tokens: the Go library compares each
 * with each, which takes a server seconds for some thousand exports (nats-protocol §b.2).
 */
export class SubjectSet {
  readonly #root = branch();
  #steps = 0;

  /** After so many steps in all the question is given up: `*` in many places at once makes it exponential. */
  static readonly STEPS_MAX = 500_000;

  add(subject: string, place: number): void {
    let at = this.#root;
    for (const token of tokensOf(subject)) {
      let next = at.next.get(token);
      if (next === undefined) {
        next = branch();
        at.next.set(token, next);
      }
      at = next;
    }
    at.ends.push(place);
  }

  /** Whether the answers are no longer complete. */
  get exhausted(): boolean {
    return this.#steps > SubjectSet.STEPS_MAX;
  }

  /** The place of some other subject that covers this one; undefined when none does. */
  coverOf(subject: string, place: number): number | undefined {
    const tokens = tokensOf(subject);
    const search = (at: Branch | undefined, index: number): number | undefined => {
      if (at === undefined || this.exhausted) return undefined;
      this.#steps += 1;
      if (index === tokens.length) return otherOf(at, place);
      const token = tokens[index] as string;
      return (
        otherOf(at.next.get('>'), place) ??
        search(at.next.get('*'), index + 1) ??
        (token === '*' ? undefined : search(at.next.get(token), index + 1))
      );
    };
    return search(this.#root, 0);
  }
}
