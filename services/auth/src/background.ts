import type { Log } from '@gatehouse/kit';

/** Work that nobody waits for, except the end of the service. */
export interface Background {
  run(name: string, work: () => Promise<void>): void;
  settled(): Promise<void>;
}

/** What fails here is logged and lost: only for work that the next occasion repeats. */
export function createBackground(log: Log): Background {
  const open = new Set<Promise<void>>();
  return {
    run(name, work) {
      const running: Promise<void> = work()
        .catch((err: unknown) => log.warn({ err, work: name }, 'background work failed'))
        .finally(() => open.delete(running));
      open.add(running);
    },
    async settled() {
      await Promise.all(open);
    },
  };
}
