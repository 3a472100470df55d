import type { Platform } from './platform.ts';
import type { Stage } from './symptom-stage.ts';

/** A section of the runbook that a fault leads to, and what its commands must say then. */
export interface Lead {
  /** The heading: the name of the alert. */
  readonly section: string;
  /** Labels of the alert that must fire; `false` for a section without an alert. */
  readonly labels?: Readonly<Record<string, string>> | false;
  /** What the output of the commands under Cause must hold; each pattern somewhere. */
  readonly cause: readonly RegExp[];
  /** What the output of the commands under Mended must hold, once it is. */
  readonly mended: readonly RegExp[];
  /** What it must hold no longer. */
  readonly gone?: readonly RegExp[];
  /** Fills the placeholders of a command, from what the commands before it have said. */
  readonly fill?: (command: string, said: string) => string;
}

/** Something that goes wrong. */
export interface Fault {
  readonly title: string;
  /** It takes its time and is the same in the other mode: seen there once, and followed in this one. */
  readonly only?: Platform['mode'];
  readonly leads: readonly Lead[];
  /** It is over in a moment, and one that Prometheus was late for tells nothing: it goes wrong again until it is seen. */
  readonly momentary?: true;
  /** What the page tells in words comes before its commands, not after. */
  readonly wordsFirst?: true;
  /**
   * Makes it go wrong, and keeps it so. What it returns does what the page tells in words to mend it; the commands of the
   * page come before it.
   */
  inject(stage: Stage): Promise<() => Promise<unknown>>;
}

/** Does something again and again, in so many lanes, until told to stop; what fails is somebody else's to see. */
export function keepDoing(work: () => Promise<unknown>, lanes = 1, pauseMs = 20): () => Promise<void> {
  let stopped = false;
  const running = Array.from({ length: lanes }, async () => {
    while (!stopped) {
      await work().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  });
  return async () => {
    stopped = true;
    await Promise.all(running);
  };
}
